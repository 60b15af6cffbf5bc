//! Tables of the host on a device, found again by their content.

use std::collections::HashMap;

use super::{Gpu, Memory};
use crate::nn::Rows;

/// Tables kept; a step of training uses a dozen.
const MOST: usize = 256;

/// What was uploaded lately, by content. The newest half stays whatever is asked for, so that the
/// tables of one operation stand until it is launched.
#[derive(Default)]
pub(super) struct Tables {
    kept: HashMap<Vec<u32>, Kept>,
    asked: u64,
}

struct Kept {
    memory: Memory,
    asked: u64,
}

impl Tables {
    /// Where the table stands, after uploading it if it is new.
    pub(super) fn find(&mut self, gpu: &'static Gpu, words: &[u32]) -> u64 {
        self.asked += 1;
        let asked = self.asked;
        if let Some(kept) = self.kept.get_mut(words) {
            kept.asked = asked;
            return kept.memory.pointer();
        }
        if self.kept.len() >= MOST {
            let mut times: Vec<u64> = self.kept.values().map(|kept| kept.asked).collect();
            times.sort_unstable();
            let limit = times[MOST / 2];
            // memory is freed in the order of the stream, after the kernels that read it
            self.kept.retain(|_, kept| kept.asked > limit);
        }
        let memory = Memory::new(gpu, words.len());
        gpu.upload(words, memory.pointer());
        let pointer = memory.pointer();
        self.kept.insert(words.to_vec(), Kept { memory, asked });
        pointer
    }
}

/// Numbers of the host that kernels read as words.
pub(in crate::nn) fn words_of(numbers: &[usize]) -> Vec<u32> {
    numbers.iter().map(|&number| super::word(number)).collect()
}

impl Gpu {
    /// f32 numbers as a table.
    pub(in crate::nn) fn floats(&'static self, numbers: &[f32]) -> u64 {
        self.table(&numbers.iter().map(|number| number.to_bits()).collect::<Vec<_>>())
    }

    /// Position of every row, `[R]`.
    pub(in crate::nn) fn positions(&'static self, rows: &Rows) -> u64 {
        self.table(&rows.positions)
    }

    /// Whether each row is real, `[R]`; 0 where all are.
    pub(in crate::nn) fn real(&'static self, rows: &Rows) -> u64 {
        rows.real
            .as_ref()
            .map_or(0, |real| self.table(&real.iter().map(|&real| u32::from(real)).collect::<Vec<_>>()))
    }

    /// Example of every row, `[R]`.
    pub(in crate::nn) fn examples_of_rows(&'static self, rows: &Rows) -> u64 {
        let of = |example: usize| std::iter::repeat_n(super::word(example), rows.segment(example).len());
        self.table(&(0..rows.examples()).flat_map(of).collect::<Vec<_>>())
    }

    /// Ids of examples, `[2, B]`: low words, then high words.
    pub(in crate::nn) fn example_ids(&'static self, rows: &Rows) -> u64 {
        let low = rows.example_ids.iter().map(|&id| id as u32);
        let high = rows.example_ids.iter().map(|&id| (id >> 32) as u32);
        self.table(&low.chain(high).collect::<Vec<_>>())
    }

    /// Position, and low and high word of the example's id, of every row, `[3, R]`.
    pub(in crate::nn) fn names(&'static self, rows: &Rows) -> u64 {
        let mut words = rows.positions.clone();
        for shift in [0, 32] {
            for (example, &id) in rows.example_ids.iter().enumerate() {
                words.extend(std::iter::repeat_n((id >> shift) as u32, rows.segment(example).len()));
            }
        }
        self.table(&words)
    }
}
