/* Break-before-make on three CPUs, step for step as in rust/lazymmu/src/explore/protocol.rs.
   memory and tlb: 0 none, 1 old, 2 new. buffer: 0 empty, 3 an invalid entry, 2 the new entry. */
#define N 3
#define SLOT(cpu, page) ((cpu) * N + (page))

byte memory[N] = 1;
byte buffer[N];
byte pc[N];
byte tlb[N * N];
bit pending[N * N];

#define STALE(page) (memory[page] == 2 && (tlb[SLOT(0, page)] == 1 || tlb[SLOT(1, page)] == 1 || tlb[SLOT(2, page)] == 1))

#define PAGE(cpu, page) \
	:: atomic { tlb[SLOT(cpu, page)] != 0 -> tlb[SLOT(cpu, page)] = 0 } \
	:: atomic { tlb[SLOT(cpu, page)] == 0 && memory[page] != 0 -> tlb[SLOT(cpu, page)] = memory[page]; assert(!STALE(page)) } \
	:: atomic { pending[SLOT(cpu, page)] -> pending[SLOT(cpu, page)] = 0; tlb[SLOT(cpu, page)] = 0 }

active [N] proctype cpu()
{
end:	do
	:: atomic { pc[_pid] == 0 -> buffer[_pid] = 3; pc[_pid] = 1 }
	:: atomic { pc[_pid] == 1 && buffer[_pid] == 0 -> pc[_pid] = 2 }
	:: atomic { pc[_pid] == 2 ->
		pending[SLOT(0, _pid)] = 1; pending[SLOT(1, _pid)] = 1; pending[SLOT(2, _pid)] = 1; pc[_pid] = 3 }
	:: atomic { pc[_pid] == 3 && !pending[SLOT(0, _pid)] && !pending[SLOT(1, _pid)] && !pending[SLOT(2, _pid)] -> pc[_pid] = 4 }
	:: atomic { pc[_pid] == 4 -> buffer[_pid] = 2; pc[_pid] = 5 }
	:: atomic { pc[_pid] == 5 && buffer[_pid] == 0 -> pc[_pid] = 6 }
	:: atomic { buffer[_pid] != 0 ->
		memory[_pid] = (buffer[_pid] == 2 -> 2 : 0); buffer[_pid] = 0; assert(!STALE(_pid)) }
	PAGE(_pid, 0)
	PAGE(_pid, 1)
	PAGE(_pid, 2)
	od
}
