//! Matrices of the tests: the toy of reference/analyses.md section 2 and the similarity oracle.

use ndarray::Array2;
use serde_json::Value;

const MATRICES: &[u8] = include_bytes!("../../../tests/fixtures/oracle/similarity/matrices.safetensors");
const VALUES: &str = include_str!("../../../tests/fixtures/oracle/similarity/values.json");

pub(crate) fn toy_x() -> Array2<f64> {
    ndarray::array![[1., 2.], [2., 1.], [3., 5.], [4., 3.], [5., 6.], [6., 2.], [7., 8.], [8., 4.]]
}

pub(crate) fn toy_y() -> Array2<f64> {
    ndarray::array![
        [2., 0., 1.],
        [1., 1., 0.],
        [4., 2., 3.],
        [3., 5., 1.],
        [6., 4., 4.],
        [5., 7., 2.],
        [8., 3., 6.],
        [7., 9., 5.]
    ]
}

pub(crate) fn toy_labels() -> Vec<u32> {
    vec![0, 0, 1, 0, 1, 0, 1, 1]
}

/// The oracle's matrices and values.
pub(crate) struct Oracle {
    header: Value,
    values: Value,
    pub(crate) labels: Vec<u32>,
}

pub(crate) fn oracle() -> Oracle {
    let (length, rest) = MATRICES.split_at(8);
    let length = u64::from_le_bytes(length.try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&rest[..length]).unwrap();
    let mut oracle = Oracle { header, values: serde_json::from_str(VALUES).unwrap(), labels: Vec::new() };
    oracle.labels = oracle.numbers("labels").into_iter().map(|value| value as u32).collect();
    oracle
}

impl Oracle {
    fn numbers(&self, name: &str) -> Vec<f64> {
        let entry = &self.header[name];
        let header = u64::from_le_bytes(MATRICES[..8].try_into().unwrap()) as usize;
        let place = |at: usize| 8 + header + entry["data_offsets"][at].as_u64().unwrap() as usize;
        let bytes = &MATRICES[place(0)..place(1)];
        match entry["dtype"].as_str().unwrap() {
            "F32" => {
                bytes.chunks(4).map(|four| f64::from(f32::from_le_bytes(four.try_into().unwrap()))).collect()
            }
            "F64" => bytes.chunks(8).map(|eight| f64::from_le_bytes(eight.try_into().unwrap())).collect(),
            "I64" => {
                bytes.chunks(8).map(|eight| i64::from_le_bytes(eight.try_into().unwrap()) as f64).collect()
            }
            "I32" => {
                bytes.chunks(4).map(|four| f64::from(i32::from_le_bytes(four.try_into().unwrap()))).collect()
            }
            other => panic!("`{name}` has dtype {other}"),
        }
    }

    pub(crate) fn matrix(&self, name: &str) -> Array2<f64> {
        let shape = |at: usize| self.header[name]["shape"][at].as_u64().unwrap() as usize;
        Array2::from_shape_vec((shape(0), shape(1)), self.numbers(name)).unwrap()
    }

    pub(crate) fn label_value(&self, matrix: &str, name: &str) -> f64 {
        self.values["labels"][matrix][name].as_f64().unwrap()
    }

    pub(crate) fn label_values(&self, matrix: &str, name: &str) -> Vec<f64> {
        let values = self.values["labels"][matrix][name].as_array().unwrap();
        values.iter().map(|value| value.as_f64().unwrap()).collect()
    }

    pub(crate) fn domain(&self, name: &str) -> &Value {
        &self.values["domains"][name]
    }
}
