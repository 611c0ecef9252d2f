//! What commands say of rows that stand for many.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;
use support::ok;
#[cfg(feature = "sql")]
use support::silt;

#[test]
fn buckets_are_told_from_rows() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let mut text = "time,x,note\n".to_owned();
    let mut noise = 1u64;
    for i in 0..12_000 {
        noise = noise
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        text.push_str(&format!("{i},{},n{}\n", noise >> 40, i / 1000));
    }
    std::fs::write(folder.join("a.csv"), text).unwrap();
    ok(folder, &["ingest", "store", "s", "a.csv", "--time-unit", "s"]);
    let policy = "downsample=0s,every=1min,drop=full";
    ok(
        folder,
        &["maintain", "store", "--stream", "s", "--retention", policy],
    );
    std::fs::write(folder.join("b.csv"), "time,x,note\n12000,5,late\n").unwrap();
    ok(folder, &["ingest", "store", "s", "b.csv", "--time-unit", "s"]);

    assert_eq!(ok(folder, &["count", "store", "s"]).0.trim(), "12001");
    let (lines, said) = ok(folder, &["export", "store", "s", "--precision", "--columns", "x"]);
    assert!(lines.starts_with("time,x,_precision\n"), "{lines}");
    assert_eq!(lines.lines().count(), 202);
    assert_eq!(lines.lines().filter(|line| line.ends_with(",60s")).count(), 200);
    assert!(
        lines.ends_with(",5,raw\n") && !said.contains("--precision"),
        "{said}"
    );
    let (lines, said) = ok(folder, &["export", "store", "s", "--format", "jsonl"]);
    assert_eq!(lines.lines().count(), 201);
    assert!(said.contains("--precision"), "{said}");
    let (_, said) = ok(folder, &["verify", "store"]);
    assert!(
        said.contains("12,001 rows, of which 12,000 are kept as 200 buckets"),
        "{said}"
    );
    let (_, said) = ok(folder, &["repair", "store", "--to", "saved"]);
    assert!(
        said.contains("12,001 rows") && said.contains("200 of the new store's rows are buckets"),
        "{said}"
    );
    assert_eq!(ok(folder, &["count", "saved", "s"]).0.trim(), "12001");
    #[cfg(feature = "sql")]
    {
        let sql = "SELECT _precision, count(*) AS n FROM s GROUP BY _precision ORDER BY n";
        let (answer, _) = ok(folder, &["sql", "store", sql, "--format", "csv"]);
        assert_eq!(answer, "_precision,n\nraw,1\n60s,12000\n");
        let sql =
            "SELECT note, count(*) FROM s WHERE time < '1970-01-01T00:40:00' GROUP BY note ORDER BY note";
        let (answer, _) = ok(folder, &["sql", "store", sql, "--format", "csv"]);
        assert!(answer.starts_with("note,count(*)\n"), "{answer}");
        let (code, _, said) = silt(folder, &["sql", "store", "SELECT corr(x, x) FROM s"]);
        assert!(code != 0 && said.contains("_precision = 'raw'"), "{said}");
    }
}
