//! Which experts a row of a mixture uses, and moving rows to them and back. The weights of a row's
//! best experts are the softmax over those experts' scores: the same as a softmax over all,
//! renormalised to sum 1.

#[cfg(feature = "cuda")]
#[path = "cuda/routing.rs"]
mod on_gpu;

use super::{Buffer, pooling};

/// One row's use of one expert.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Route {
    /// Row number within all members' rows, member * R + row.
    pub row: usize,
    /// Place among the experts that all rows have chosen, row * top_k + which.
    pub slot: usize,
    /// Share of the expert in the row's output.
    pub weight: f32,
}

/// The routes of a batch by member and expert, each list in the order of its rows.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    experts: usize,
    /// K * R.
    rows: usize,
    top_k: usize,
    lists: Vec<Vec<Route>>,
    /// Every row's experts, best first, `[K * R, top_k]`.
    chosen: Vec<u32>,
    /// Their shares, in the same order.
    weights: Vec<f32>,
    /// Gradients of the shares.
    gradients: Buffer,
}

impl Routes {
    /// Gives every row its `top_k` best experts; equal scores prefer the lower number. Scores that
    /// stand on a GPU are waited for: how many rows an expert gets decides what runs there.
    ///
    /// # Shapes
    /// - scores: `[K, R, experts]`
    pub fn choose(&mut self, [members, rows, experts, top_k]: [usize; 4], scores: &Buffer) {
        (self.experts, self.rows, self.top_k) = (experts, members * rows, top_k);
        self.lists.resize_with(members * experts, Vec::new);
        self.lists.iter_mut().for_each(Vec::clear);
        self.chosen.clear();
        self.weights.clear();
        self.gradients.zero_beside(scores, members * rows * top_k);
        let mut order: Vec<usize> = Vec::with_capacity(experts);
        for (row, scores) in scores.read().chunks_exact(experts).enumerate() {
            order.clear();
            order.extend(0..experts);
            order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
            let best = &order[..top_k];
            let largest = scores[best[0]];
            let sum: f32 = best.iter().map(|&expert| (scores[expert] - largest).exp()).sum();
            for &expert in best {
                let weight = (scores[expert] - largest).exp() / sum;
                let slot = self.weights.len();
                self.lists[row / rows * experts + expert].push(Route { row, slot, weight });
                self.chosen.push(expert as u32);
                self.weights.push(weight);
            }
        }
    }

    /// Rows of a member that use this expert.
    pub fn of(&self, member: usize, expert: usize) -> &[Route] {
        &self.lists[member * self.experts + expert]
    }

    /// Keeps the gradients of the shares of one member's expert: its output times the gradient of the
    /// sum.
    ///
    /// # Shapes
    /// - output: `[routes, width]`, dy: `[K, R, width]`
    pub fn weight_gradients(
        &mut self,
        width: usize,
        [member, expert]: [usize; 2],
        output: &Buffer,
        dy: &Buffer,
    ) {
        let routes = &self.lists[member * self.experts + expert];
        #[cfg(feature = "cuda")]
        if let Some(gpu) = dy.gpu() {
            let to = self.gradients.room(gpu, self.gradients.len());
            return on_gpu::weight_gradients(gpu, width, routes, [output, dy], to);
        }
        let gradients = self.gradients.cpu_mut();
        for (route, output) in routes.iter().zip(output.cpu().chunks_exact(width)) {
            let dy = &dy.cpu()[route.row * width..][..width];
            gradients[route.slot] = output.iter().zip(dy).map(|(a, b)| a * b).sum();
        }
    }

    /// Gradient of the scores from the gradients of the shares (softmax over the chosen ones).
    ///
    /// # Shapes
    /// - dscores: `[K, R, experts]`, overwritten
    pub fn score_gradients(&self, dscores: &mut Buffer) {
        #[cfg(feature = "cuda")]
        if let Some(gpu) = self.gradients.gpu() {
            return on_gpu::score_gradients(gpu, self, dscores);
        }
        dscores.zero_beside(&self.gradients, self.rows * self.experts);
        let of_rows =
            self.gradients.cpu().chunks_exact(self.top_k).zip(self.weights.chunks_exact(self.top_k));
        let chosen = self.chosen.chunks_exact(self.top_k);
        let to = dscores.cpu_mut().chunks_exact_mut(self.experts);
        for ((to, chosen), (gradients, weights)) in to.zip(chosen).zip(of_rows) {
            let mean: f32 = weights.iter().zip(gradients).map(|(weight, gradient)| weight * gradient).sum();
            for ((&expert, weight), gradient) in chosen.iter().zip(weights).zip(gradients) {
                to[expert as usize] = weight * (gradient - mean);
            }
        }
    }
}

fn rows_of(routes: &[Route]) -> Vec<usize> {
    routes.iter().map(|route| route.row).collect()
}

/// Copies the routed rows of x one after another.
pub fn gather(width: usize, routes: &[Route], x: &Buffer, y: &mut Buffer) {
    pooling::gather(1, width, &rows_of(routes), x, y);
}

/// The same, times each route's weight: the gradient that reaches an expert's output.
pub fn gather_weighted(width: usize, routes: &[Route], x: &Buffer, y: &mut Buffer) {
    #[cfg(feature = "cuda")]
    if let Some(gpu) = x.gpu() {
        return on_gpu::gather_weighted(gpu, width, routes, x, y);
    }
    y.resize(routes.len() * width);
    for (route, to) in routes.iter().zip(y.cpu_mut().chunks_exact_mut(width)) {
        for (to, from) in to.iter_mut().zip(&x.cpu()[route.row * width..][..width]) {
            *to = route.weight * from;
        }
    }
}

/// Adds an expert's output rows, each times its weight, to the rows they came from.
pub fn scatter_weighted(width: usize, routes: &[Route], x: &Buffer, y: &mut Buffer) {
    #[cfg(feature = "cuda")]
    if let Some(gpu) = x.gpu() {
        return on_gpu::scatter_weighted(gpu, width, routes, x, y);
    }
    for (route, from) in routes.iter().zip(x.cpu().chunks_exact(width)) {
        for (to, from) in y.cpu_mut()[route.row * width..][..width].iter_mut().zip(from) {
            *to += route.weight * from;
        }
    }
}

/// Adds rows to the rows they came from.
pub fn scatter(width: usize, routes: &[Route], x: &Buffer, y: &mut Buffer) {
    pooling::scatter_add(1, width, &rows_of(routes), x, y);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;

    #[test]
    fn weights_are_the_renormalised_softmax_of_the_best() {
        let scores = Buffer::from_vec(Device::CPU, vec![1.0, 3.0, 2.0, 0.0, 0.0, 0.0]);
        let mut routes = Routes::default();
        routes.choose([1, 2, 3, 2], &scores);
        let share = 1.0 / (1.0 + (-1.0_f32).exp());
        assert_eq!(routes.of(0, 0).iter().map(|r| r.row).collect::<Vec<_>>(), [1]);
        assert!((routes.of(0, 1)[0].weight - share).abs() < 1e-6);
        assert!((routes.of(0, 2)[0].weight - (1.0 - share)).abs() < 1e-6);
        assert_eq!(routes.of(0, 1)[1].weight, 0.5);
    }
}
