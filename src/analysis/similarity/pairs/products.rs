//! Inner products between the tiles of all layers.

use rayon::prelude::*;

use crate::nn::gemm::{Size, Strides, gemm_serial};

/// Numbers of a tile that are summed in f32 before f64 takes over.
const PIECE: usize = 4096;

/// Pieces that one task sums.
const TOGETHER: usize = 16;

/// One tile for each layer, and the sums of the products of all tiles so far.
#[derive(Debug)]
pub(super) struct Products {
    layers: usize,
    tile: usize,
    /// `[layers, tile]`
    tiles: Vec<f32>,
    /// `[layers, layers]`
    sums: Vec<f64>,
}

impl Products {
    pub(super) fn new(layers: usize, tile: usize) -> Self {
        Self { layers, tile, tiles: vec![0.0; layers * tile], sums: vec![0.0; layers * layers] }
    }

    /// The tiles, to be written in full up to the numbers that [`Products::add`] is told.
    pub(super) fn tiles(&mut self) -> std::slice::ChunksMut<'_, f32> {
        self.tiles.chunks_mut(self.tile)
    }

    /// Adds the products of the first `used` numbers of all tiles.
    pub(super) fn add(&mut self, used: usize) {
        let (layers, width) = (self.layers, Strides::row_major(self.tile));
        let tasks: Vec<Vec<f64>> = (0..used.div_ceil(PIECE * TOGETHER))
            .into_par_iter()
            .map(|task| {
                let mut sums = vec![0.0; layers * layers];
                let mut piece = vec![0.0_f32; layers * layers];
                let end = used.min((task + 1) * PIECE * TOGETHER);
                for start in (task * PIECE * TOGETHER..end).step_by(PIECE) {
                    let size = Size { m: layers, n: layers, k: PIECE.min(end - start) };
                    let tiles = &self.tiles[start..];
                    gemm_serial(
                        size,
                        (tiles, width),
                        (tiles, Strides::transposed(self.tile)),
                        (&mut piece, Strides::row_major(layers)),
                        false,
                    );
                    sums.iter_mut().zip(&piece).for_each(|(sum, &part)| *sum += f64::from(part));
                }
                sums
            })
            .collect();
        for task in tasks {
            self.sums.iter_mut().zip(task).for_each(|(sum, part)| *sum += part);
        }
    }

    /// Sum over ordered pairs of different examples: every tile holds each pair once.
    pub(super) fn of(&self, a: usize, b: usize) -> f64 {
        2.0 * self.sums[a * self.layers + b]
    }
}
