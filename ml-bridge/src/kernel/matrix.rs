//! Small int8 matrices times vectors of 16-bit numbers, with the sums left as they are: what recurrent layers need, whose
//! sums do not go back to bytes at once.
//!
//! Weights lie in blocks of 16 rows; in a block, two columns of all rows lie together, so that one multiply-add of
//! pairs serves a whole block. Sums wrap in i32, so that every path gives the same bits.

/// Rows of a block.
pub const ROWS: usize = 16;

/// A matrix packed for [`Matrix::add_product`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matrix {
    columns: usize,
    /// Per block and pair of columns: row by row the two weights.
    lines: Vec<[i8; 2 * ROWS]>,
}

impl Matrix {
    /// Packs `rows` of `columns` weights each.
    pub fn new(columns: usize, rows: &[i8]) -> Self {
        let columns = columns.max(1);
        let pairs = columns.div_ceil(2);
        let count = rows.len() / columns;
        let mut lines = vec![[0i8; 2 * ROWS]; count.div_ceil(ROWS) * pairs];
        for (number, row) in rows.chunks_exact(columns).enumerate() {
            let block = number / ROWS * pairs;
            for (pair, weights) in row.chunks(2).enumerate() {
                let at = number % ROWS * 2;
                lines[block + pair][at..at + weights.len()].copy_from_slice(weights);
            }
        }
        Matrix { columns, lines }
    }

    /// Numbers that a vector needs: the columns, rounded up to an even number (the last one then counts nothing).
    pub fn width(&self) -> usize {
        self.columns.next_multiple_of(2)
    }

    /// Bytes of weights, as packed.
    pub fn bytes(&self) -> usize {
        self.lines.len() * 2 * ROWS
    }

    /// Adds the product with `vector` to `sums`, one per row, filled up to whole blocks.
    #[inline(always)]
    pub fn add_product(&self, vector: &[i16], sums: &mut [i32]) {
        let pairs = self.columns.div_ceil(2);
        let vector = &vector[..2 * pairs];
        for (sums, lines) in sums.chunks_exact_mut(ROWS).zip(self.lines.chunks_exact(pairs)) {
            let mut total = [0i32; ROWS];
            total.copy_from_slice(sums);
            for (weights, x) in lines.iter().zip(vector.chunks_exact(2)) {
                let wide: [i16; 2 * ROWS] = std::array::from_fn(|n| i16::from(weights[n]));
                for (lane, sum) in total.iter_mut().enumerate() {
                    let products = i32::from(x[0]) * i32::from(wide[2 * lane])
                        + i32::from(x[1]) * i32::from(wide[2 * lane + 1]);
                    *sum = sum.wrapping_add(products);
                }
            }
            sums.copy_from_slice(&total);
        }
    }
}

/// `rows` filled up with rows of zeros to whole blocks.
pub fn whole_blocks(columns: usize, rows: &[i8]) -> Vec<i8> {
    let mut padded = rows.to_vec();
    padded.resize((rows.len() / columns.max(1)).next_multiple_of(ROWS) * columns, 0);
    padded
}
