//! The check of connections reports those that are false.
use efference_sdk::tch::Tensor;
use efference_sdk::{Edge, Layer, LayerSetup, Params, Plugin, Result, Size, Stage};
use efference_testkit::{Matrix, MatrixOptions, MemoryStore, check_connections};
use std::ops::Range;

const SIZE: Size = Size { ins: 4, outs: 3 };

/// A full matrix that tells any connections.
struct Liar(Matrix, Vec<Stage>);

impl Layer for Liar {
    fn forward(&self, x: &Tensor, outs: Range<i64>) -> Result<Tensor> {
        self.0.forward(x, outs)
    }

    fn connections(&self) -> Result<Vec<Stage>> {
        Ok(self.1.clone())
    }
}

/// What the check says of a matrix whose true connections were changed.
fn said(change: impl FnOnce(&mut Vec<Stage>)) -> String {
    let store = MemoryStore::new(1);
    let setup = LayerSetup { size: SIZE, params: Params::new(&store) };
    let matrix = Matrix::new(MatrixOptions::default(), &setup).unwrap();
    let mut stages = matrix.connections().unwrap();
    change(&mut stages);
    match check_connections(&Liar(matrix, stages), SIZE) {
        Ok(()) => "true".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn connections_that_are_missing_or_do_not_fit_are_reported() {
    assert_eq!(said(|_| {}), "true");
    assert_eq!(said(Vec::clear), "the layer does not tell its connections");
    assert_eq!(
        said(|stages| stages[0].edges.retain(|edge| (edge.from, edge.to) != (2, 1))),
        "output 1 depends on input 2, and by the connections it does not"
    );
    assert_eq!(
        said(|stages| stages[0].edges.push(Edge { from: 4, to: 0, weight: 0 })),
        "stage 0 of its connections, 4 → 3 nodes, cannot have an edge 4 → 0 with weight 0"
    );
    assert_eq!(
        said(|stages| stages.push(Stage { nodes: SIZE, edges: Vec::new() })),
        "stage 1 of its connections begins with 4 nodes, where there are 3"
    );
    assert_eq!(
        said(|stages| stages[0].nodes.outs = 5),
        "its connections end with 5 nodes, and the layer has 3 outputs"
    );
}
