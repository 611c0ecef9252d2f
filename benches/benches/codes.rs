//! Micro-benchmarks of the code layouts: one value, decoding, counting, a median, opening. `cargo bench -p siltstone-benches`.

#![allow(clippy::unwrap_used, reason = "a measuring program may stop at any surprise")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use siltstone_benches::data::{Random, generate};
use siltstone_store::codes::{self, CodesKind, Interval};
use siltstone_store::section::Section;

const ROWS: usize = 1 << 20;

fn layouts(criterion: &mut Criterion) {
    for name in ["walk", "adc", "smooth"] {
        let column = generate(name, ROWS).unwrap();
        for kind in CodesKind::ALL
            .into_iter()
            .filter(|&kind| kind != CodesKind::Constant)
        {
            let bytes = codes::encode(kind, &column.codes);
            let layout = codes::open(kind, Section::from_vec(bytes.clone())).unwrap();
            let mut group = criterion.benchmark_group(format!("{name}/{}", kind.name()));
            group
                .sample_size(20)
                .warm_up_time(Duration::from_millis(200))
                .measurement_time(Duration::from_millis(600));
            let len = ROWS as u64;
            let mut random = Random(1);
            group.bench_function("get", |b| b.iter(|| layout.get(random.below(len)).unwrap()));
            let window = |random: &mut Random| {
                let start = random.below(len - len / 10);
                start..start + len / 10
            };
            group.bench_function("median of 10 %", |b| {
                b.iter(|| {
                    layout
                        .quantile(std::slice::from_ref(&window(&mut random)), len / 20)
                        .unwrap()
                });
            });
            let mut sorted = column.codes.clone();
            sorted.sort_unstable();
            let interval = Interval {
                low: sorted[ROWS / 4],
                high: sorted[ROWS / 2],
            };
            group.bench_function("count in 10 %", |b| {
                b.iter(|| {
                    layout
                        .count(std::slice::from_ref(&window(&mut random)), interval)
                        .unwrap()
                });
            });
            group.bench_function("open", |b| {
                let section = Section::from_vec(bytes.clone());
                b.iter(|| codes::open(kind, black_box(section.clone())).unwrap().len());
            });
            for (question, rows) in [("decode 256 rows", 256), ("decode 64K rows", 65_536)] {
                let mut out = vec![0; rows];
                group.throughput(Throughput::Bytes(rows as u64 * 8));
                group.bench_function(question, |b| {
                    b.iter(|| {
                        let start = random.below(len - rows as u64);
                        layout.decode(start..start + rows as u64, &mut out).unwrap();
                    });
                });
            }
            group.throughput(Throughput::Bytes(len * 8));
            group.bench_function("encode", |b| {
                b.iter(|| codes::encode(kind, black_box(&column.codes)).len())
            });
            group.finish();
        }
    }
}

criterion_group!(benches, layouts);
criterion_main!(benches);
