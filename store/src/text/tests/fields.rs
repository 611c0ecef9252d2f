//! Rows as instruments and services write them: a few kinds of line whose fields count, wander, stay, repeat each other or
//! are empty. Every index is asked for pieces of such rows, and for numbers between them, beside a scan.

use super::*;

/// Numbers from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end.max(1)
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

/// How the number of a field comes about.
#[derive(Debug, Clone, Copy)]
enum Law {
    /// One value, and in one row of so many another.
    Usual(u64, u64),
    Counter(u64),
    Walk(u64),
    Any(u64),
    Few,
    /// That of the field before, and so much more.
    Before(u64),
}

/// How it is written.
#[derive(Debug, Clone, Copy)]
enum Form {
    Plain,
    Padded(usize),
    Decimal(u32),
    PaddedDecimal(usize, u32),
    Hex(usize),
    UpperHex,
    Signed,
    Address,
    Time,
    Word,
    Empty,
}

impl Form {
    fn write(self, value: u64, out: &mut String) {
        let split = |digits: u32| (value / 10u64.pow(digits), value % 10u64.pow(digits));
        *out += &match self {
            Form::Plain => format!("{value}"),
            Form::Padded(width) => format!("{value:0width$}"),
            Form::Decimal(digits) => {
                let (whole, part) = split(digits);
                format!("{whole}.{part:0width$}", width = digits as usize)
            }
            Form::PaddedDecimal(front, digits) => {
                let (whole, part) = split(digits);
                format!("{whole:0front$}.{part:0width$}", width = digits as usize)
            }
            Form::Hex(width) => format!("{value:0width$x}"),
            Form::UpperHex => format!("{value:02X}"),
            Form::Signed => format!("{}", value as i64 - 60),
            Form::Address => format!("10.{}.{}.{}", value / 65_536 % 3, value / 256 % 256, value % 256),
            Form::Time => format!(
                "{:02}:{:02}:{:02}",
                value / 3600 % 24,
                value / 60 % 60,
                value % 60
            ),
            Form::Word => ["N", "E", "A", "V", "on", "off", "err", "é"][(value % 8) as usize].to_string(),
            Form::Empty => String::new(),
        };
    }
}

/// A kind of line.
struct Line {
    name: &'static str,
    fields: Vec<(Law, Form)>,
    delimiter: &'static str,
    end: &'static str,
    /// Whether a checksum follows, wrong in one of so many.
    sum: Option<u64>,
}

impl Line {
    fn any(random: &mut Random) -> Line {
        let mut fields = Vec::new();
        for _ in 0..1 + random.below(9) {
            let most = random.of(&[3, 20, 300, 70_000, 5_000_000_000]);
            let law = match random.below(8) {
                0 | 1 => Law::Usual(random.below(most), random.of(&[2, 7, 40, 1_000])),
                2 => Law::Counter(random.below(most)),
                3 => Law::Walk(most / 7 + 1),
                4 | 5 => Law::Any(most),
                6 => Law::Few,
                _ => Law::Before(random.below(3)),
            };
            let form = match random.below(14) {
                0..=2 => Form::Plain,
                3 => Form::Padded(random.of(&[2, 3, 6])),
                4 | 5 => Form::Decimal(random.of(&[1, 2, 5])),
                6 => Form::PaddedDecimal(random.of(&[3, 5]), random.of(&[2, 5])),
                7 => Form::Hex(random.of(&[0, 4, 8])),
                8 => Form::UpperHex,
                9 => Form::Signed,
                10 => Form::Address,
                11 => Form::Time,
                12 => Form::Word,
                _ => Form::Empty,
            };
            fields.push((law, form));
        }
        Line {
            name: random.of(&["$GPGGA", "$GPGSV", "temp", "GET /a", "[info] job", ""]),
            fields,
            delimiter: random.of(&[",", " ", "=", ": ", ";", "|", "\t", ",,"]),
            end: random.of(&["", "", "*", " ms", "\"}"]),
            sum: random.of(&[None, None, Some(20), Some(10_000)]),
        }
    }
}

fn rows_of(seed: u64, kinds: usize, count: usize) -> Vec<Vec<u8>> {
    let mut random = Random(seed);
    let lines: Vec<Line> = (0..kinds).map(|_| Line::any(&mut random)).collect();
    let mut last = vec![[0u64; 10]; kinds];
    (0..count as u64)
        .map(|row| {
            let kind = random.below(kinds as u64) as usize;
            let line = &lines[kind];
            let mut text = line.name.to_string();
            for (index, &(law, form)) in line.fields.iter().enumerate() {
                let before = last[kind][index];
                let value = match law {
                    Law::Usual(value, one_of) if random.below(one_of) > 0 => value,
                    Law::Usual(value, _) => value + random.below(90),
                    Law::Counter(start) => start + row,
                    Law::Walk(step) => before + random.below(step),
                    Law::Any(most) => random.below(most),
                    Law::Few => [7, 52, 700][random.below(3) as usize],
                    Law::Before(more) => index.checked_sub(1).map_or(0, |left| last[kind][left]) + more,
                };
                last[kind][index] = value;
                text += line.delimiter;
                form.write(value, &mut text);
            }
            text += line.end;
            if let Some(one_of) = line.sum {
                let body = text.rfind(['$', '!']).map_or(0, |at| at + 1);
                let sum = text.bytes().skip(body).fold(0, |sum, byte| sum ^ byte);
                let wrong = u8::from(random.below(one_of) == 0);
                text += &format!("*{:02X}", sum ^ wrong);
            }
            text.into_bytes()
        })
        .collect()
}

/// A piece of a row, in one of eight sometimes with another byte in it.
fn piece(random: &mut Random, rows: &[Vec<u8>], longest: u64) -> String {
    let row = &rows[random.below(rows.len() as u64) as usize];
    let start = random.below(row.len() as u64) as usize;
    let end = (start + 1 + random.below(longest) as usize).min(row.len());
    let mut bytes = row.get(start..end).unwrap_or_default().to_vec();
    if random.below(8) == 0 && !bytes.is_empty() {
        let at = random.below(bytes.len() as u64) as usize;
        bytes[at] = random.of(b"0123459,. aN");
    }
    String::from_utf8_lossy(&bytes).replace(['%', '_', '{', '}', '\u{fffd}'], ",")
}

fn question(random: &mut Random, rows: &[Vec<u8>]) -> TextPattern {
    let first = piece(random, rows, 12);
    let short = piece(random, rows, 4);
    let row = rows[random.below(rows.len() as u64) as usize].clone();
    let cut = random.below(row.len() as u64 + 1) as usize;
    match random.below(14) {
        0..=2 => TextPattern::Contains(first.into_bytes()),
        3 => TextPattern::Contains(short.into_bytes()),
        4 => TextPattern::StartsWith(row[..cut].to_vec()),
        5 => TextPattern::EndsWith(row[cut..].to_vec()),
        6 => TextPattern::Equals(row),
        7 => TextPattern::ContainsIgnoreAsciiCase(first.to_ascii_lowercase().into_bytes()),
        8 => TextPattern::like(&format!("%{short}%{}%", piece(random, rows, 3)), None),
        9 => TextPattern::like(&format!("{short}%{}", piece(random, rows, 3)), None),
        10 => TextPattern::like(&format!("%{short}_%{}%", piece(random, rows, 3)), None),
        kind => {
            let after = if kind == 11 {
                piece(random, rows, 3)
            } else {
                String::new()
            };
            let before = if kind == 12 { short } else { first };
            let Ok(place) = NumberPlace::parse(&format!("{before}{{}}{after}")) else {
                return TextPattern::Contains(before.into_bytes());
            };
            let low = random.of(&[-5.0, 0.0, 3.0, 52.0, 411.5, 1e6]);
            let low = random.of(&[Bound::Excluded(low), Bound::Included(low), Bound::Unbounded]);
            let high = random.of(&[Bound::Unbounded, Bound::Excluded(7e4), Bound::Included(1e9)]);
            TextPattern::Number(NumberPattern::new(place, low, high))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn fields_answer_as_a_scan(
        kind in proptest::sample::select([TextKind::ALL.as_slice(), &[TextKind::Template; 6]].concat()),
        seed in any::<u64>(), kinds in 1usize..4, count in 1usize..400,
    ) {
        let rows = rows_of(seed, kinds, count);
        let index = open(kind, Section::from_vec(encode(kind, &column(&rows)).unwrap())).unwrap();
        let count = rows.len() as u64;
        let mut out = ByteColumn::default();
        index.decode(0..count, &mut out).unwrap();
        prop_assert_eq!(out, column(&rows));
        let mut random = Random(!seed);
        for _ in 0..30 {
            let pattern = question(&mut random, &rows);
            let wanted: Mask = rows.iter().map(|row| pattern.matches(row)).collect();
            let mut found = Mask::repeat(false, rows.len());
            index.select(0..count, &pattern, &mut found).unwrap();
            prop_assert_eq!(&found, &wanted, "{:?} of {:?}", &pattern, kind);
            let (one, other) = (random.below(count + 1), random.below(count + 1));
            let part = one.min(other)..one.max(other);
            for range in [0..count, part] {
                let within = &wanted[range.start as usize..range.end as usize];
                let ones = within.count_ones() as u64;
                prop_assert_eq!(index.count(std::slice::from_ref(&range), &pattern).unwrap(), ones, "{:?} in {:?}", &pattern, &range);
                let mut found = Mask::repeat(false, within.len());
                index.select(range.clone(), &pattern, &mut found).unwrap();
                prop_assert_eq!(&found[..], within, "{:?} in {:?}", &pattern, &range);
            }
        }
    }
}
