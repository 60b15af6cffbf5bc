//! Which experts a row of a mixture uses, and moving rows to them and back. The weights of a row's
//! best experts are the softmax over those experts' scores: the same as a softmax over all,
//! renormalised to sum 1.

use super::Buffer;

/// One row's use of one expert.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Route {
    /// Row number within all members' rows, member * R + row.
    pub row: usize,
    /// Share of the expert in the row's output.
    pub weight: f32,
    /// Gradient of that share.
    pub gradient: f32,
}

/// The routes of a batch by member and expert, each list in the order of its rows.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    experts: usize,
    rows: usize,
    lists: Vec<Vec<Route>>,
}

impl Routes {
    /// Rows of a member that use this expert.
    pub fn of(&self, member: usize, expert: usize) -> &[Route] {
        &self.lists[member * self.experts + expert]
    }

    /// The same, to set their gradients.
    pub fn of_mut(&mut self, member: usize, expert: usize) -> &mut [Route] {
        &mut self.lists[member * self.experts + expert]
    }
}

/// Gives every row its `top_k` best experts; equal scores prefer the lower number.
///
/// # Shapes
/// - scores: `[K, R, experts]`
pub fn choose(
    members: usize,
    rows: usize,
    experts: usize,
    top_k: usize,
    scores: &Buffer,
    routes: &mut Routes,
) {
    routes.experts = experts;
    routes.rows = members * rows;
    routes.lists.resize_with(members * experts, Vec::new);
    routes.lists.iter_mut().for_each(Vec::clear);
    let mut order: Vec<usize> = Vec::with_capacity(experts);
    for (row, scores) in scores.cpu().chunks_exact(experts).enumerate() {
        order.clear();
        order.extend(0..experts);
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        let best = &order[..top_k];
        let largest = scores[best[0]];
        let sum: f32 = best.iter().map(|&expert| (scores[expert] - largest).exp()).sum();
        for &expert in best {
            let weight = (scores[expert] - largest).exp() / sum;
            let member = row / rows;
            routes.lists[member * experts + expert].push(Route { row, weight, gradient: 0.0 });
        }
    }
}

/// Copies the routed rows of x one after another.
pub fn gather(width: usize, routes: &[Route], x: &Buffer, y: &mut Buffer) {
    y.resize(routes.len() * width);
    for (route, to) in routes.iter().zip(y.cpu_mut().chunks_exact_mut(width)) {
        to.copy_from_slice(&x.cpu()[route.row * width..][..width]);
    }
}

/// The same, times each route's weight: the gradient that reaches an expert's output.
pub fn gather_weighted(width: usize, routes: &[Route], x: &Buffer, y: &mut Buffer) {
    y.resize(routes.len() * width);
    for (route, to) in routes.iter().zip(y.cpu_mut().chunks_exact_mut(width)) {
        for (to, from) in to.iter_mut().zip(&x.cpu()[route.row * width..][..width]) {
            *to = route.weight * from;
        }
    }
}

/// Adds an expert's output rows, each times its weight, to the rows they came from.
pub fn scatter_weighted(width: usize, routes: &[Route], x: &Buffer, y: &mut Buffer) {
    for (route, from) in routes.iter().zip(x.cpu().chunks_exact(width)) {
        for (to, from) in y.cpu_mut()[route.row * width..][..width].iter_mut().zip(from) {
            *to += route.weight * from;
        }
    }
}

/// Adds rows to the rows they came from.
pub fn scatter(width: usize, routes: &[Route], x: &Buffer, y: &mut Buffer) {
    for (route, from) in routes.iter().zip(x.cpu().chunks_exact(width)) {
        for (to, from) in y.cpu_mut()[route.row * width..][..width].iter_mut().zip(from) {
            *to += from;
        }
    }
}

/// Sets the gradient of every route's weight: the expert's output times the gradient of the sum.
pub fn weight_gradients(width: usize, routes: &mut [Route], output: &Buffer, dy: &Buffer) {
    for (route, output) in routes.iter_mut().zip(output.cpu().chunks_exact(width)) {
        let dy = &dy.cpu()[route.row * width..][..width];
        route.gradient = output.iter().zip(dy).map(|(a, b)| a * b).sum();
    }
}

/// Gradient of the scores from the gradients of the weights (softmax over the chosen ones).
///
/// # Shapes
/// - dscores: `[K, R, experts]`, overwritten
pub fn score_gradients(routes: &Routes, dscores: &mut Buffer) {
    let mut mean = vec![0.0; routes.rows];
    for route in routes.lists.iter().flatten() {
        mean[route.row] += route.weight * route.gradient;
    }
    dscores.resize(routes.rows * routes.experts);
    dscores.fill(0.0);
    for (list, number) in routes.lists.iter().zip(0..) {
        let expert: usize = number % routes.experts;
        for route in list {
            dscores.cpu_mut()[route.row * routes.experts + expert] =
                route.weight * (route.gradient - mean[route.row]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;

    #[test]
    fn weights_are_the_renormalised_softmax_of_the_best() {
        let scores = Buffer::from_vec(Device::CPU, vec![1.0, 3.0, 2.0, 0.0, 0.0, 0.0]);
        let mut routes = Routes::default();
        choose(1, 2, 3, 2, &scores, &mut routes);
        let share = 1.0 / (1.0 + (-1.0_f32).exp());
        assert_eq!(routes.of(0, 0).iter().map(|r| r.row).collect::<Vec<_>>(), [1]);
        assert!((routes.of(0, 1)[0].weight - share).abs() < 1e-6);
        assert!((routes.of(0, 2)[0].weight - (1.0 - share)).abs() < 1e-6);
        assert_eq!(routes.of(0, 1)[1].weight, 0.5);
    }
}
