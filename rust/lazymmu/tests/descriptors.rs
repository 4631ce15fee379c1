//! Every format describes every bit of every level, and decoding loses nothing.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use lazymmu::descriptor::batch::Codec;
use lazymmu::descriptor::decode::Place;
use lazymmu::descriptor::field::{Kind, Role, Verdict};
use lazymmu::geometry::Level;
use lazymmu::kernel::Setup;
use lazymmu::run::{Mode, Spec, boot};

/// Words that reach every layout: random ones, small ones, single bits, and all of them with the bits that decide.
fn words(place: &Place) -> Vec<u64> {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let limit = u64::MAX >> (64 - place.bits);
    let mut out: Vec<u64> = (0..64).map(|n| 1 << n).chain(0..16).chain((0..200).map(|_| random())).collect();
    let made: Vec<u64> = place
        .layouts
        .iter()
        .flat_map(|layout| out.iter().map(|word| (word & !layout.mask) | layout.value).collect::<Vec<_>>())
        .collect();
    out.extend(made);
    out.iter().map(|word| word & limit).collect()
}

fn places(mut each: impl FnMut(&str, Place)) {
    let setup = Setup { cpus: 1, mms: 0, tasks: Vec::new() };
    for backend in lazymmu::backend::ALL.iter() {
        for geometry in backend.geometries {
            let spec = Spec { backend: backend.name, geometry: Some(geometry), scheme: "v6.12", ..Spec::default() };
            let machine = boot(&spec, &setup, Mode::Quiet).unwrap();
            let g = lazymmu::geometry::by_name(geometry).unwrap();
            for level in Level::ALL.into_iter().filter(|level| !g.folded(*level)) {
                let place = Place::new(machine.format(), g, level, None);
                let name = format!("{} {geometry} {}", backend.name, level.name());
                assert!(place.is_ok(), "{name}: {place:?}");
                each(&name, place.unwrap());
            }
        }
    }
}

#[test]
fn fields_cover_each_bit_once() {
    places(|name, place| {
        let all = u64::MAX >> (64 - place.bits);
        for layout in &place.layouts {
            let mut seen = 0;
            let mut names = Vec::new();
            for field in &layout.fields {
                assert_eq!(seen & field.mask(), 0, "{name} {}: {} overlaps", layout.name, field.name);
                assert!(!names.contains(&field.name), "{name} {}: {} twice", layout.name, field.name);
                seen |= field.mask();
                names.push(field.name);
            }
            assert_eq!(seen, all, "{name} {}: {:#x} without a field", layout.name, seen ^ all);
            assert_eq!(layout.value & !layout.mask, 0, "{name} {}", layout.name);
            for rule in &layout.rules {
                assert!(layout.field(rule.field).is_some(), "{name} {}: {}", layout.name, rule.field);
            }
        }
    });
}

#[test]
fn every_word_has_a_layout_and_comes_back() {
    places(|name, place| {
        for word in words(&place) {
            assert!(place.layouts.iter().any(|layout| layout.takes(word)), "{name}: {word:#x}");
            let decoded = place.decode(word).unwrap();
            let back = decoded.layout.fields.iter().zip(&decoded.values).fold(0, |w, (f, value)| w | f.put(*value));
            assert_eq!(back, word, "{name}");
            let named: Vec<_> =
                decoded.layout.fields.iter().zip(&decoded.values).map(|(f, v)| (f.name.to_owned(), *v)).collect();
            match place.encode(Some(decoded.layout.name), &named) {
                Ok(encoded) => assert_eq!(encoded, word, "{name}"),
                Err(error) => {
                    // Address bits beyond the physical width are refused even where hardware does not look at them.
                    let wide = decoded.layout.address().is_some_and(|a| a.get(word) >> place.pa_bits != 0);
                    assert!(wide || decoded.verdict == Verdict::Invalid, "{name}: {word:#x}: {error}");
                }
            }
        }
    });
}

#[test]
fn arrays_agree_with_single_words() {
    places(|name, place| {
        let words = words(&place);
        let codec = Codec::new(place.clone()).unwrap();
        let lanes = codec.lanes();
        let mut records = vec![0; words.len() * lanes];
        codec.decode(&words, &mut records).unwrap();
        for (word, record) in words.iter().zip(records.chunks(lanes)) {
            let bytes: Vec<u8> = record.iter().flat_map(|lane| lane.to_ne_bytes()).collect();
            let column = |name: &str| {
                let c = codec.columns().iter().find(|c| c.name == name).unwrap();
                bytes[c.offset..c.offset + c.bytes].iter().rev().fold(0, |v, b| v << 8 | u64::from(*b))
            };
            let decoded = place.decode(*word).unwrap();
            assert_eq!(column("kind") as usize, place.layout(*word), "{name} {word:#x}");
            assert_eq!(column("verdict"), decoded.verdict as u64, "{name} {word:#x}");
            if decoded.layout.kind == Kind::Invalid {
                continue;
            }
            for (field, value) in decoded.layout.fields.iter().zip(&decoded.values) {
                let name_of = if field.role == Role::Address { "address" } else { field.name };
                assert_eq!(column(name_of), *value, "{name} {word:#x} {}", field.name);
            }
        }
        let mut back = vec![0; words.len()];
        let ok: Vec<usize> =
            (0..words.len()).filter(|n| codec.decode(&words[*n..=*n], &mut vec![0; lanes]).is_ok()).collect();
        for n in ok {
            let record = &records[n * lanes..(n + 1) * lanes];
            match codec.encode(record, &mut back[n..=n]) {
                Ok(()) => assert_eq!(back[n], words[n], "{name}"),
                Err((_, error)) => {
                    let decoded = place.decode(words[n]).unwrap();
                    assert_eq!(decoded.verdict, Verdict::Invalid, "{name} {:#x}: {error}", words[n]);
                }
            }
        }
    });
}

#[test]
fn protections_and_table_words_of_the_kernel_are_valid() {
    let setup = Setup { cpus: 1, mms: 0, tasks: Vec::new() };
    for backend in lazymmu::backend::ALL.iter() {
        for geometry in backend.geometries {
            let spec = Spec { backend: backend.name, geometry: Some(geometry), scheme: "v6.12", ..Spec::default() };
            let machine = boot(&spec, &setup, Mode::Quiet).unwrap();
            let g = lazymmu::geometry::by_name(geometry).unwrap();
            let place = Place::new(machine.format(), g, Level::Pte, None).unwrap();
            for (prot, bits) in machine.format().prots() {
                let decoded = place.decode(machine.format().page(g.page_size(), bits)).unwrap();
                assert_ne!(
                    decoded.verdict,
                    Verdict::Invalid,
                    "{} {geometry} {prot}: {:?}",
                    backend.name,
                    decoded.problems
                );
            }
        }
    }
}
