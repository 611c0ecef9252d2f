//! Golden bytes of columns.

use super::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Domain, validity and statistics of some columns, byte for byte. Codes are frozen where they are written.
#[test]
fn golden_bytes() {
    let float = |values: &[f64]| values.iter().map(|&v| Some(key_of_f64(v))).collect::<Vec<_>>();
    let nulls = |rows: u64, null: &dyn Fn(u64) -> bool| {
        (0..rows).map(|r| (!null(r)).then_some(7)).collect::<Vec<_>>()
    };
    let mut all = String::new();
    let moved = Hints {
        tolerance: Some(Tolerance::Relative(0.01)),
        ..Hints::default()
    };
    let plain = Hints::default();
    for (name, ty, keys) in [
        (
            "bounded",
            ColumnType::F64,
            float(&[1.5, 2.25, f64::NAN, 2.26, 1e9, -0.5]),
        ),
        (
            "integer",
            ColumnType::I32,
            (0..5).map(|i| Some(key_of_i64(100 - 20 * i))).collect(),
        ),
        ("boolean", ColumnType::Bool, vec![Some(1), Some(0)]),
        (
            "decimal",
            ColumnType::F64,
            float(&[1.5, 2.25, f64::NAN, 3.0, -0.5]),
        ),
        (
            "float",
            ColumnType::F64,
            float(&[f64::INFINITY, 1.0 / 3.0, f64::NAN]),
        ),
        (
            "ulp",
            ColumnType::F64,
            (0..200)
                .map(|i| Some(key_of_f64((i * i % 97) as f64 / 10.0) + i % 3))
                .collect(),
        ),
        (
            "single",
            ColumnType::F64,
            (0..100)
                .map(|i| Some(key_of_f64(f64::from((i * 379 % 1_000) as f32 / 100.0)) + i % 2))
                .collect(),
        ),
        (
            "digit",
            ColumnType::F64,
            (0..300i32)
                .map(|i| {
                    let number = i * 7919 % 1009;
                    let number = if i % 8 == 0 { number } else { number * 10 };
                    Some(key_of_f64(f64::from(number) / 1e4))
                })
                .collect(),
        ),
        (
            "dictionary",
            ColumnType::U64,
            (0..64)
                .map(|i| Some([5, 1 << 40, (1 << 50) + 3][i as usize * 7919 % 3]))
                .collect(),
        ),
        ("all null", ColumnType::F32, nulls(3, &|_| true)),
        ("dense", ColumnType::U8, nulls(70, &|r| r * 7919 % 5 < 2)),
        ("sparse", ColumnType::U8, nulls(900, &|r| r == 17 || r == 450)),
    ] {
        let hints = if name == "bounded" { &moved } else { &plain };
        let parts = Column::encode(ty, &column_of(&keys), hints).unwrap();
        for part in &parts {
            if part.kind != PartKind::Codes {
                let line = format!("{name} {:?} {} {}\n", part.kind, part.codec, hex(&part.body));
                all.push_str(&line);
            }
        }
        let column = Column::open(ty, keys.len() as u64, sections(parts)).unwrap();
        all.push_str(&format!("{name} is of domain {}\n", column.describe().0));
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/columns.txt");
    if !path.exists() {
        std::fs::write(&path, &all).unwrap();
    }
    assert_eq!(all, std::fs::read_to_string(path).unwrap(), "the format changed");
}
