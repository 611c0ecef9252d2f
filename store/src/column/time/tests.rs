//! Row times against a plain list, hostile bytes, golden bytes.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
use super::*;
use crate::codes::testing;
use proptest::prelude::*;

fn open(times: &[i64], runs: &[Range<u64>]) -> (TimeColumn, usize) {
    let bytes = encode(times, runs);
    let len = bytes.len();
    (
        TimeColumn::open(Section::from_vec(bytes), times.len() as u64).unwrap(),
        len,
    )
}

fn check(times: &[i64], runs: &[Range<u64>]) -> usize {
    let (column, bytes) = open(times, runs);
    let mut out = vec![0; times.len()];
    column.decode(0..times.len() as u64, &mut out).unwrap();
    assert_eq!(out, times);
    let part = times.len() / 3..times.len() / 3 * 2;
    column
        .decode(part.start as u64..part.end as u64, &mut out[..part.len()])
        .unwrap();
    assert_eq!(&out[..part.len()], &times[part]);
    for row in (0..times.len()).step_by(times.len() / 64 + 1) {
        assert_eq!(column.get(row as u64).unwrap(), times[row]);
    }
    for run in runs {
        let own = &times[run.start as usize..run.end as usize];
        if !own.is_sorted() {
            continue;
        }
        for pick in (0..own.len()).step_by(own.len() / 32 + 1) {
            for time in [
                own[pick].saturating_sub(1),
                own[pick],
                own[pick].saturating_add(1),
                i64::MIN,
                i64::MAX,
            ] {
                let want = run.start + own.partition_point(|&t| t < time) as u64;
                assert_eq!(
                    column.lower_bound(run.clone(), time).unwrap(),
                    want,
                    "{time} in {run:?}"
                );
            }
        }
    }
    bytes
}

fn noise(seed: u64) -> u64 {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^= x >> 29;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^ x >> 32
}

#[test]
fn clocks_cost_what_they_deviate() {
    let rows = 100_000i64;
    let all = 0..rows as u64;
    let regular: Vec<i64> = (0..rows)
        .map(|i| 1_600_000_000_000_000_000 + i * 1_000_000)
        .collect();
    assert!(check(&regular, std::slice::from_ref(&all)) < 100);
    let thirds: Vec<i64> = (0..rows).map(|i| i * 1_000_000 / 360).collect();
    assert!(check(&thirds, std::slice::from_ref(&all)) < 200);
    let rounded: Vec<i64> = (0..rows)
        .map(|i| (i as f64 * 1000.0 / 360.0).round() as i64)
        .collect();
    assert!(check(&rounded, std::slice::from_ref(&all)) < 200);
    let gaps: Vec<i64> = (0..rows).map(|i| i * 1000 + i / 10_000 * 3_600_000_000).collect();
    assert!(check(&gaps, std::slice::from_ref(&all)) < 1000);
    let jitter: Vec<i64> = (0..rows)
        .map(|i| i * 4000 + (noise(i as u64) % 200) as i64)
        .collect();
    assert!(check(&jitter, std::slice::from_ref(&all)) < rows as usize * 11 / 10);
    let restarts: Vec<i64> = (0..rows).map(|i| i % 10_000 * 20).collect();
    let runs: Vec<Range<u64>> = (0..10).map(|r| r * 10_000..(r + 1) * 10_000).collect();
    assert!(check(&restarts, &runs) < 1000);
    let constant = vec![i64::MIN; 1000];
    assert!(check(&constant, &[Range { start: 0, end: 1000 }]) < 100);
    check(&[], &[]);
}

/// Sums of gaps.
fn clock(rows: u64, gap: impl Fn(u64) -> i64) -> Vec<i64> {
    (0..rows)
        .scan(1_600_000_000_000_000_000, |time, row| {
            *time += gap(row);
            Some(*time)
        })
        .collect()
}

fn bits_a_row(times: &[i64]) -> f64 {
    let all = 0..times.len() as u64;
    check(times, std::slice::from_ref(&all)) as f64 * 8.0 / times.len() as f64
}

#[test]
fn gaps_cost_about_their_entropy() {
    let uniform = |row| (noise(row) >> 11) as f64 / (1u64 << 53) as f64;
    let events = clock(100_000, |row| (-10_000.0 * (1.0 - uniform(row)).ln()) as i64);
    // Exponential gaps with this mean have 14.73 bits.
    assert!(bits_a_row(&events) < 15.5, "{}", bits_a_row(&events));
    // Deviations that add up: 8.65 bits.
    let drifting = clock(100_000, |row| 10_000 + (noise(row) % 401) as i64);
    assert!(bits_a_row(&drifting) < 10.2, "{}", bits_a_row(&drifting));
    // Rare pauses cost little.
    let pauses = clock(100_000, |row| {
        10_000 + (noise(row) % 401) as i64 + if row % 1_003 == 0 { 1 << 45 } else { 0 }
    });
    assert!(bits_a_row(&pauses) < 10.6, "{}", bits_a_row(&pauses));
}

#[test]
fn a_step_costs_nothing() {
    let fine = clock(50_000, |row| (noise(row) % 9_000) as i64);
    let mut coarse: Vec<i64> = fine.iter().map(|time| (time - fine[0]) * 1_000).collect();
    let (fine, same) = (bits_a_row(&fine), bits_a_row(&coarse));
    assert!((fine - same).abs() < 0.1, "{fine} {same}");
    // A run of another step, and a run of single units.
    coarse.extend((0..1_000).map(|i| 5 + i * i * 2_000));
    coarse.extend((0..1_000).map(|i| -7 + i * i));
    let runs = [0..50_000, 50_000..51_000, 51_000..52_000];
    assert!((check(&coarse, &runs) as f64) < 52_000.0 * (same + 1.0) / 8.0);
}

fn sorted_runs() -> impl Strategy<Value = (Vec<i64>, Vec<Range<u64>>)> {
    let step =
        prop_oneof![10 => Just(0i64), 10 => 0i64..5, 10 => 0i64..1000, 2 => 0i64..1 << 40, 1 => any::<i64>()];
    let unit = prop_oneof![Just(1i64), Just(1000)];
    let run = (any::<i64>(), unit, proptest::collection::vec(step, 0..300));
    proptest::collection::vec(run, 0..6).prop_map(|runs| {
        let (mut times, mut ranges) = (Vec::new(), Vec::new());
        for (start, unit, steps) in runs {
            let from = times.len() as u64;
            let mut own: Vec<i64> = steps
                .iter()
                .scan(start, |time, step| {
                    *time = time.saturating_add(step.saturating_mul(unit));
                    Some(*time)
                })
                .collect();
            own.sort_unstable();
            times.append(&mut own);
            ranges.push(from..times.len() as u64);
        }
        (times, ranges)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn every_sorted_sequence((times, runs) in sorted_runs()) {
        check(&times, &runs);
    }

    #[test]
    fn every_sequence(times in proptest::collection::vec(any::<i64>(), 0..300)) {
        check(&times, std::slice::from_ref(&(0..times.len() as u64)));
    }

    #[test]
    fn damage_never_panics((times, runs) in sorted_runs(), flips in proptest::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..6)) {
        let mut bytes = encode(&times, &runs);
        for (place, bit) in flips {
            let place = place.index(bytes.len());
            bytes[place] ^= 1 << bit;
        }
        let Ok(column) = TimeColumn::open(Section::from_vec(bytes), times.len() as u64) else { return Ok(()) };
        let mut out = vec![0; times.len()];
        let _ = column.decode(0..times.len() as u64, &mut out);
        for row in (0..times.len() as u64).step_by(17) {
            let _ = column.get(row);
        }
        for run in runs {
            let _ = column.lower_bound(run.clone(), 0);
            let _ = column.lower_bound(run, i64::MAX);
        }
    }
}

#[test]
fn golden_bytes() {
    let times = [
        10, 20, 30, 40, 50, 61, 70, 80, 90, 100, 110, 120, 130, 140, 150, 160,
    ];
    let bytes = encode(&times, &[Range { start: 0, end: 16 }]);
    let mut want = Vec::new();
    for word in [16u64, 1, 10] {
        want.extend_from_slice(&word.to_le_bytes());
    }
    want.extend_from_slice(&[0, 0, 4, 5, 0, 0, 0, 0]);
    want.extend_from_slice(&1u64.to_le_bytes());
    // Slope 10 in 4 bits, start 0 in 5, width 1 in 7, half, stepped and kind 0.
    want.extend_from_slice(&(10u32 | 1 << 9).to_le_bytes()[..3]);
    want.extend_from_slice(&[0; 16]);
    want.extend_from_slice(&[0b10_0000, 0]);
    want.extend_from_slice(&[0; 16]);
    assert_eq!(bytes, want);
}

#[test]
fn golden_gaps() {
    let times: Vec<i64> = (0..200)
        .map(|i| i * i / 3 * 1_000 + if i > 150 { 1 << 40 } else { 0 })
        .collect();
    testing::golden(
        "times_gaps",
        &encode(&times, std::slice::from_ref(&(0..200))),
        |bytes| {
            let column = TimeColumn::open(Section::from_vec(bytes), 200).unwrap();
            let piece = column.piece(&column.section.view(), 0).unwrap();
            assert!(piece.gaps && column.pieces == 1);
            let mut out = vec![0; 200];
            column.decode(0..200, &mut out).unwrap();
            assert_eq!(out, times);
        },
    );
}
