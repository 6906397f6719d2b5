//! The check of units reports those that are false.
use efference_sdk::tch::Tensor;
use efference_sdk::{Layer, LayerSetup, Params, Plugin, Result, Saved, Size};
use efference_testkit::{Matrix, MatrixOptions, MemoryStore, check_units};
use std::ops::Range;

const SIZE: Size = Size { ins: 4, outs: 3 };

/// A full matrix that tells any units.
struct Liar(Matrix, &'static str, Vec<i64>);

impl Layer for Liar {
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        self.0.forward(x, outs)
    }

    fn units(&self) -> Result<Saved> {
        Ok(vec![(self.1.to_owned(), Tensor::from_slice(&self.2))])
    }
}

/// What the check says of a matrix with such units.
fn said(name: &'static str, units: &[i64]) -> String {
    let store = MemoryStore::new(1);
    let setup = LayerSetup { size: SIZE, params: Params::new(&store) };
    let matrix = Matrix::new(MatrixOptions::default(), &setup).unwrap();
    match check_units(&Liar(matrix, name, units.to_vec()), SIZE, &store) {
        Ok(()) => "true".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn units_that_are_false_or_do_not_fit_are_reported() {
    assert_eq!(said("weight", &[0, 1, 2]), "true");
    assert_eq!(
        said("weight", &[0, 2, 1]),
        "output 1 depends on an element of 'weight' that feeds another one by its units"
    );
    assert_eq!(
        said("weight", &[-1, 1, 2]),
        "output 0 depends on an element of 'weight' that feeds another one by its units"
    );
    assert_eq!(said("weight", &[0, 1, 3]), "the units of 'weight' are 0 to 3, of 3 outputs");
    assert_eq!(said("bias", &[0, 1, 2]), "there is no parameter 'bias'");
    assert!(said("weight", &[0, 1, 2, 2, 2]).contains("expand"), "{}", said("weight", &[0, 1, 2, 2, 2]));
}
