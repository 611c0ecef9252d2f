//! The write side of the top: units, groups, and what they would cost.

#![allow(
    clippy::cast_possible_truncation,
    reason = "fewer than 2^31 codes, at most 128 symbols"
)]

use super::unit::{ENTRY_BYTES, MAX_CHANGES, PACKED, PLANE_BYTES, bucket_bits, run_bits};
use super::{UNIT_LOG, group_log};

/// Rows of a unit.
const UNIT_ROWS: usize = 1 << UNIT_LOG;

/// The rows of a unit whose symbol differs from the one before.
type Changes = [u64; UNIT_ROWS / 64];

/// Finds them: eight comparisons become bits by one multiplication.
fn changes_of(symbols: &[u8]) -> Changes {
    let mut changes = [0; UNIT_ROWS / 64];
    let mut last = symbols.first().copied().unwrap_or(0);
    for (word, group) in changes.iter_mut().zip(symbols.chunks(64)) {
        let mut before = [0; 64];
        before[0] = last;
        before[1..group.len()].copy_from_slice(&group[..group.len() - 1]);
        last = group[group.len() - 1];
        let mut flags = [0u8; 64];
        for ((flag, one), next) in flags.iter_mut().zip(&before).zip(group) {
            *flag = u8::from(one != next);
        }
        for (at, eight) in flags.chunks_exact(8).enumerate() {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(eight);
            let gathered = u64::from_le_bytes(bytes).wrapping_mul(0x0102_0408_1020_4080) >> 56;
            *word |= gathered << (8 * at);
        }
    }
    changes
}

/// Calls `found` with each row where a run starts, but the first one's.
fn each_start(changes: &Changes, mut found: impl FnMut(u32)) {
    for (at, &word) in (0u32..).zip(changes) {
        let mut rest = word;
        while rest != 0 {
            found(at * 64 + rest.trailing_zeros());
            rest &= rest - 1;
        }
    }
}

/// What the encoder knows of a unit before it writes it.
struct Plan {
    low: u8,
    high: u8,
    changes: u32,
    /// Whether each change is by an odd number.
    odd: bool,
}

impl Plan {
    fn of(symbols: &[u8], changes: &Changes) -> Plan {
        let (mut low, mut high) = (u8::MAX, 0);
        for &symbol in symbols {
            (low, high) = (low.min(symbol), high.max(symbol));
        }
        let count: u32 = changes.iter().map(|word| word.count_ones()).sum();
        let mut odd = true;
        if count <= MAX_CHANGES {
            each_start(changes, |row| {
                let row = row as usize;
                odd &= (symbols[row] ^ symbols[row - 1]) & 1 == 1;
            });
        }
        Plan {
            low,
            high,
            changes: count,
            odd,
        }
    }

    fn span(&self) -> u32 {
        u32::from(self.high - self.low)
    }

    fn planes(&self) -> u32 {
        32 - self.span().leading_zeros()
    }

    /// Planes of symbols that are stored.
    fn stored_planes(&self) -> u32 {
        self.planes().saturating_sub(u32::from(self.odd))
    }

    fn is_packed(&self) -> bool {
        self.changes > MAX_CHANGES || self.run_bytes() > self.planes() as usize * PLANE_BYTES
    }

    fn run_bytes(&self) -> usize {
        match self.changes {
            0 => 0,
            m => (run_bits(m, self.stored_planes()) as usize).div_ceil(8),
        }
    }

    fn bytes(&self) -> usize {
        let counters = 1 + 2 * (self.span() as usize + 1);
        let rest = match self.is_packed() {
            true => self.planes() as usize * PLANE_BYTES,
            false => self.run_bytes(),
        };
        counters + rest
    }
}

/// What a top would take.
pub(in super::super) struct Plans {
    /// Bytes (about), without what every top takes.
    pub(in super::super) bytes: u64,
    /// Units, and those that would be packed.
    pub(in super::super) units: u64,
    pub(in super::super) packed: u64,
}

impl Plans {
    /// Plans for `symbols` of `bits` bits.
    pub(in super::super) fn of(symbols: &[u8], bits: u32) -> Plans {
        let row = 8 + (4u64 << bits);
        let mut plans = Plans {
            bytes: (row * symbols.len() as u64) >> group_log(bits),
            units: 0,
            packed: 0,
        };
        for unit in symbols.chunks(UNIT_ROWS) {
            let plan = Plan::of(unit, &changes_of(unit));
            plans.bytes += plan.bytes() as u64 + ENTRY_BYTES;
            plans.units += 1;
            plans.packed += u64::from(plan.is_packed());
        }
        plans
    }
}

/// Appends the top of `bits` bits to `out`, the section that it will be part of, at a multiple of 8.
pub(in super::super) fn encode(symbols: &[u8], bits: u32, out: &mut Vec<u8>) {
    let count = 1 << bits;
    let group = group_log(bits);
    out.extend_from_slice(&[bits as u8, group as u8, 0, 0, 0, 0, 0, 0]);
    let mut totals = vec![0u32; 256];
    for &symbol in symbols {
        totals[usize::from(symbol)] += 1;
    }
    // Where the next row of each symbol stands below.
    let mut next = Vec::with_capacity(count);
    let mut sum = 0;
    for &total in totals.iter().take(count) {
        next.push(sum);
        sum += total;
    }
    debug_assert!(sum as usize == symbols.len(), "symbols of so many bits");
    let push_row = |next: &[u32], data: u64, table: &mut Vec<u8>| {
        table.extend_from_slice(&data.to_le_bytes());
        next.iter()
            .for_each(|at| table.extend_from_slice(&at.to_le_bytes()));
    };
    let (mut table, mut entries, mut data) = (Vec::new(), Vec::new(), Vec::new());
    for rows in symbols.chunks(1 << group) {
        let start = data.len();
        let first = next.clone();
        push_row(&next, start as u64, &mut table);
        for unit in rows.chunks(UNIT_ROWS) {
            let changes = changes_of(unit);
            let plan = Plan::of(unit, &changes);
            let offset = data.len() - start;
            debug_assert!(offset >> 16 == 0, "a group has less than 64 KiB");
            entries.extend_from_slice(&(offset as u16).to_le_bytes());
            entries.extend_from_slice(&[plan.low, plan.span() as u8]);
            encode_unit(unit, &changes, &plan, &first, &next, &mut data);
            let mut begin = 0;
            each_start(&changes, |row| {
                next[usize::from(unit[begin])] += row - begin as u32;
                begin = row as usize;
            });
            next[usize::from(unit[begin])] += (unit.len() - begin) as u32;
        }
    }
    push_row(&next, data.len() as u64, &mut table);
    for part in [table, entries, data] {
        out.extend_from_slice(&part);
    }
}

fn encode_unit(
    symbols: &[u8],
    changes: &Changes,
    plan: &Plan,
    first: &[u32],
    next: &[u32],
    out: &mut Vec<u8>,
) {
    let end = out.len() + plan.bytes();
    let packed = plan.is_packed();
    let m = if packed { PACKED } else { plan.changes };
    out.push(m as u8 | u8::from(plan.odd && !packed) << 7);
    for symbol in usize::from(plan.low)..=usize::from(plan.high) {
        let before = next[symbol] - first[symbol];
        debug_assert!(before >> 16 == 0, "a unit starts within 65,536 rows of its group");
        out.extend_from_slice(&(before as u16).to_le_bytes());
    }
    let start = out.len();
    out.resize(end, 0);
    let bytes = &mut out[start..];
    let mut set = |at: u32, bit: bool| bytes[at as usize / 8] |= u8::from(bit) << (at % 8);
    if packed {
        for (row, &symbol) in symbols.iter().enumerate() {
            for plane in 0..plan.planes() {
                let bit = (symbol - plan.low) >> plane & 1 == 1;
                set(plane * UNIT_ROWS as u32 + row as u32, bit);
            }
        }
        return;
    }
    if m == 0 {
        return;
    }
    let buckets = bucket_bits(m);
    let low = UNIT_LOG - buckets;
    let lows = m + (1 << buckets);
    let planes = lows + m * low;
    set(0, (symbols[0] - plan.low) & 1 == 1);
    // With odd changes the lowest plane follows from the first symbol.
    let stored = u32::from(plan.odd)..plan.planes();
    let push_symbol = |index: u32, symbol: u8, set: &mut dyn FnMut(u32, bool)| {
        for (place, plane) in (0u32..).zip(stored.clone()) {
            let bit = (symbol - plan.low) >> plane & 1 == 1;
            set(planes + place * (m + 1) + index, bit);
        }
    };
    push_symbol(0, symbols[0], &mut set);
    let mut index = 0;
    each_start(changes, |row| {
        set(index + 1 + (row >> low), true);
        for plane in 0..low {
            set(lows + plane * m + index, row >> plane & 1 == 1);
        }
        index += 1;
        push_symbol(index, symbols[row as usize], &mut set);
    });
}
