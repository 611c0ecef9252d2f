//! The arithmetic of shapes: what goes in front of, and comes out of, a sliding filter.

use super::{Padding, Sliding};

/// Zeros added before the first position, and the number of results, along one axis.
///
/// `None` if the filter does not fit, or a number is zero.
pub(crate) fn slide(
    positions: usize,
    taps: usize,
    stride: usize,
    dilation: usize,
    padding: Padding,
) -> Option<(usize, usize)> {
    if positions == 0 || taps == 0 || stride == 0 || dilation == 0 {
        return None;
    }
    let reach = (taps - 1).checked_mul(dilation)?.checked_add(1)?;
    match padding {
        Padding::Valid => Some((0, positions.checked_sub(reach)? / stride + 1)),
        Padding::Same => {
            let results = positions.div_ceil(stride);
            let needed = (results - 1).checked_mul(stride)?.checked_add(reach)?;
            Some((needed.saturating_sub(positions) / 2, results))
        }
    }
}

/// Zeros added above and left of an image of `height` x `width`, and the result's height and width.
pub fn padding_before(
    size: [usize; 2],
    window: [usize; 2],
    sliding: &Sliding,
) -> Option<([usize; 2], [usize; 2])> {
    let (top, height) = slide(
        size[0],
        window[0],
        sliding.stride[0],
        sliding.dilation[0],
        sliding.padding,
    )?;
    let (left, width) = slide(
        size[1],
        window[1],
        sliding.stride[1],
        sliding.dilation[1],
        sliding.padding,
    )?;
    Some(([top, left], [height, width]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_and_valid() {
        assert_eq!(slide(49, 10, 2, 1, Padding::Same), Some((4, 25)));
        assert_eq!(slide(10, 4, 2, 1, Padding::Same), Some((1, 5)));
        assert_eq!(slide(10, 4, 2, 1, Padding::Valid), Some((0, 4)));
        assert_eq!(slide(3, 4, 1, 1, Padding::Valid), None);
        assert_eq!(slide(10, 3, 1, 2, Padding::Same), Some((2, 10)));
        assert_eq!(slide(5, usize::MAX, 1, 2, Padding::Same), None);
    }
}
