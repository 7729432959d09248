//! A change of an audit log is found, by the number of the line.

use base64ct::{Base64UrlUnpadded, Encoding};
use ed25519_dalek::{Signer, SigningKey};
use offswitch_core::audit::{Check, End, Flaw, LineHash, checkpoint_message, write_line};
use offswitch_snapshot::FeedKey;

/// Twelve lines: two files of one chain, with a checkpoint at the end of each.
fn lines(chain: &str) -> Vec<Vec<u8>> {
    let mut end = End { chain: chain.to_owned(), seq: 0, hash: LineHash::default() };
    let mut lines = Vec::new();
    for file in 1..=2 {
        let prev = end.hash;
        let begin = format!(r#""type":"begin","file":{file},"prev":"{prev}""#);
        append(&mut lines, &mut end, &begin);
        for number in 0..4 {
            append(&mut lines, &mut end, &format!(r#""type":"request","by":"key_{number}""#));
        }
        let signed = signed(end.hash);
        append(&mut lines, &mut end, &signed);
    }
    lines
}

fn append(lines: &mut Vec<Vec<u8>>, end: &mut End, members: &str) {
    let mut line = Vec::new();
    write_line(&mut line, end, 1_795_489_144_000, members.as_bytes());
    lines.push(line.trim_ascii_end().to_vec());
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn feed_key(key: &SigningKey) -> FeedKey {
    FeedKey::from_bytes(key.verifying_key().as_bytes()).unwrap()
}

/// A checkpoint after the line with this hash.
fn signed(hash: LineHash) -> String {
    let id: String = feed_key(&key()).id().0.iter().map(|byte| format!("{byte:02x}")).collect();
    let signature = key().sign(&checkpoint_message(hash)).to_bytes();
    let signature = Base64UrlUnpadded::encode_string(&signature);
    format!(r#""type":"checkpoint","key":"{id}","signature":"{signature}""#)
}

/// The first bad line, counted from 0, and why.
fn flaw(lines: &[Vec<u8>]) -> Option<(usize, Flaw)> {
    let mut check = Check::new(&[feed_key(&key())], vec![]);
    lines.iter().enumerate().find_map(|(place, line)| Some((place, check.line(line).err()?)))
}

// A08.
#[test]
fn what_was_written_is_good_and_covered_by_signatures() {
    let lines = lines("a");
    let mut check = Check::new(&[feed_key(&key())], vec![]);
    lines.iter().for_each(|line| check.line(line).unwrap());
    let reports = check.finish().unwrap();
    assert_eq!(reports.len(), 1);
    let report = &reports[0];
    assert_eq!((report.lines, report.changes, report.first_file), (12, 8, 1));
    assert_eq!((report.signed_up_to, report.end.seq), (Some(10), 12));
}

// A08: in every line, at every place.
#[test]
fn a_changed_byte_is_found_in_its_line() {
    let good = lines("a");
    for place in 0..good.len() {
        for byte in (0..good[place].len()).step_by(7) {
            let mut bad = good.clone();
            bad[place][byte] ^= 1;
            assert_eq!(flaw(&bad).unwrap().0, place, "line {place}, byte {byte}");
        }
    }
}

// A08: the end can be cut off, which only a noted line shows.
#[test]
fn a_removed_line_is_found_where_it_was_unless_it_was_the_last() {
    let good = lines("a");
    for place in 0..good.len() {
        let mut bad = good.clone();
        bad.remove(place);
        match (place, flaw(&bad)) {
            (11, found) => assert_eq!(found, None),
            (0, found) => assert_eq!(found, Some((0, Flaw::Headless { found: 1 }))),
            (place, found) => {
                let (expected, found_seq) = (place as u64, place as u64 + 1);
                let missing = Flaw::Missing { expected, found: found_seq };
                assert_eq!(found, Some((place, missing)));
            }
        }
    }
    let last = good.last().unwrap();
    let hash: LineHash =
        str::from_utf8(&last[last.len() - 66..last.len() - 2]).unwrap().parse().unwrap();
    let checked = |lines: &[Vec<u8>]| {
        let mut check = Check::new(&[], vec![(11, hash)]);
        lines.iter().for_each(|line| check.line(line).unwrap());
        check.finish().map(drop)
    };
    assert_eq!(checked(&good), Ok(()));
    assert_eq!(checked(&good[..11]), Err((11, hash)));
}

// A08.
#[test]
fn lines_that_were_exchanged_repeated_or_moved_are_found() {
    let good = lines("a");
    for place in 1..good.len() - 1 {
        let mut bad = good.clone();
        bad.swap(place, place + 1);
        assert_eq!(flaw(&bad).unwrap().0, place);
        let mut bad = good.clone();
        bad.insert(place, good[place].clone());
        let out_of_place = Flaw::OutOfPlace { expected: place as u64 + 1, found: place as u64 };
        assert_eq!(flaw(&bad), Some((place + 1, out_of_place)));
    }
}

// A08: someone who makes a whole chain again, with good hashes, does not have the key.
#[test]
fn a_chain_that_was_made_again_has_no_good_signature() {
    let mut end = End { chain: "a".to_owned(), seq: 0, hash: LineHash::default() };
    let (mut made, prev) = (Vec::new(), LineHash::default());
    append(&mut made, &mut end, &format!(r#""type":"begin","file":1,"prev":"{prev}""#));
    append(&mut made, &mut end, r#""type":"request","by":"someone""#);
    let elsewhere = signed(LineHash([1; 32]));
    append(&mut made, &mut end, &elsewhere);
    assert_eq!(flaw(&made), Some((2, Flaw::WrongSignature)));
    let other = SigningKey::from_bytes(&[8; 32]);
    let mut check = Check::new(&[feed_key(&other)], vec![]);
    let good = lines("a");
    let found = good.iter().map(|line| check.line(line)).find_map(Result::err);
    assert!(matches!(found, Some(Flaw::UnknownKey(_))), "{found:?}");
}

// A08: the lines of several processes in one file; and files of which the first was removed.
#[test]
fn chains_may_be_mixed_and_may_begin_with_a_later_file() {
    let (one, other) = (lines("a"), lines("b"));
    let mixed: Vec<_> =
        one.iter().zip(&other).flat_map(|(one, other)| [one.clone(), other.clone()]).collect();
    assert_eq!(flaw(&mixed), None);
    assert_eq!(flaw(&one[6..]), None);
    let (place, found) = flaw(&[&one[..6], &one[7..]].concat()).unwrap();
    assert_eq!((place, found), (6, Flaw::Missing { expected: 6, found: 7 }));
    // A first file must begin with nothing, a later one with something.
    let mut end = End { chain: "c".to_owned(), seq: 3, hash: LineHash([2; 32]) };
    let mut lines = Vec::new();
    let prev = end.hash;
    append(&mut lines, &mut end, &format!(r#""type":"begin","file":1,"prev":"{prev}""#));
    assert_eq!(flaw(&lines), Some((0, Flaw::Elsewhere)));
}

#[test]
fn what_is_no_line_is_refused_without_a_panic() {
    for text in ["", "{}", "null", "{\"seq\":0,\"hash\":\"", &"x".repeat(200), &"é".repeat(40_000)]
    {
        assert_eq!(flaw(&[text.as_bytes().to_vec()]), Some((0, Flaw::Malformed)), "{text:.20}");
    }
}
