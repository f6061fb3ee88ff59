//! What a block would take without a network, estimated on the values themselves: whether a network is worth its time.

use super::latent::price;
use crate::predict::Scale;
use crate::reference::blocks::{Blocks, Row};

/// Variance of the noise that seven decoded neighbours bring into Lorenzo's predictions, in squares of quantisation steps.
const NOISE: f64 = 7.0 / 12.0;
/// Share of the noise that is left where most residuals are zero: neighbours are then off alike.
const ALIKE: f64 = 0.25;

/// Bits of the residuals of a block by its mean or by Lorenzo's predictor, whichever takes fewer.
pub fn bits(blocks: &Blocks, block: usize, grid: &[i32], scale: &Scale) -> f64 {
    let rows: Vec<Row> = blocks.rows(block).filter(|r| r.own).collect();
    let values = || rows.iter().flat_map(|r| &grid[r.start..r.start + r.width]);
    let count = values().count().max(1);
    let mean = (values().map(|v| i64::from(*v)).sum::<i64>() / count as i64) as i32;
    let by_mean = values().map(|v| price(v.wrapping_sub(mean), scale.step)).sum::<f64>();
    let noise = (f64::from(scale.step) * (ALIKE * NOISE).sqrt()) as i32;
    let (size, origin) = (blocks.shape.size(), blocks.origin(block));
    let by_lorenzo = rows.iter().map(|row| {
        let place = [row.at / (size[1] * size[2]), row.at / size[2] % size[1]];
        let behind = [origin[1] + place[0] > 0, origin[2] + place[1] > 0, origin[3] > 0];
        let point = |x: usize| {
            price(
                lorenzo(blocks, grid, row.start + x, [behind[0], behind[1], behind[2] || x > 0])
                    .abs()
                    .max(noise),
                scale.step,
            )
        };
        (0..row.width).map(point).sum::<f64>()
    });
    by_lorenzo.sum::<f64>().min(by_mean)
}

/// What Lorenzo's predictor misses at a point that has neighbours along some axes.
fn lorenzo(blocks: &Blocks, grid: &[i32], at: usize, behind: [bool; 3]) -> i32 {
    let steps = [blocks.stride[1], blocks.stride[2], blocks.stride[3]];
    // The point less its neighbours: with each axis, differences along it.
    (0..8u32).fold(0i32, |sum, corner| {
        let along = |axis: usize| corner >> axis & 1 == 1;
        if (0..3).any(|axis| along(axis) && !behind[axis]) {
            return sum;
        }
        let back: usize = (0..3).filter(|axis| along(*axis)).map(|axis| steps[axis]).sum();
        let v = grid[at - back];
        if corner.count_ones() % 2 == 0 {
            sum.wrapping_add(v)
        } else {
            sum.wrapping_sub(v)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::Frames;
    use crate::reference::blocks::Shape;

    #[test]
    fn smooth_blocks_need_no_network_and_rough_ones_many_bits() {
        let frames = Frames { steps: 4, levels: 1, height: 8, width: 8 };
        let blocks = Blocks::new(Shape::InTime([4, 4, 4]), &frames);
        let scale = Scale { step: 256, shift: 12, low: -1 << 20, high: 1 << 20 };
        let of = |value: &dyn Fn(usize) -> i32| {
            let grid: Vec<i32> = (0..256).map(value).collect();
            (0..blocks.count()).map(|b| bits(&blocks, b, &grid, &scale)).sum::<f64>() / 256.0
        };
        let rough = of(&|i| (i as i32).wrapping_mul(0x9e37_79b1u32 as i32) >> 16);
        let smooth = of(&|i| (40 * (i % 8) + 30 * (i / 8 % 8) + 20 * (i / 64)) as i32);
        let constant = of(&|_| 77);
        assert!(rough > 3.0 && smooth < 1.0 && constant < smooth, "{rough} {smooth} {constant}");
    }
}
