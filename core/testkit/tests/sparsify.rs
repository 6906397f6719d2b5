//! `nn::sparsify` on layers whose weights lie in different ways.
use efference_sdk::nn::sparsify;
use efference_sdk::tch::{Kind, Tensor};
use efference_sdk::{Layer, LayerFactory, ParamStore, Params, Result, Size, WeightLayout};
use efference_testkit::{LayersOf, Matrix, MemoryStore};
use std::ops::Range;

fn zeros_along(weight: &Tensor, dims: &[i64]) -> Vec<i64> {
    let counts = weight.eq(0.0).sum_dim_intlist(dims, false, Kind::Int64);
    counts.reshape([-1]).try_into().unwrap()
}

#[test]
fn each_unit_loses_its_share_of_inputs_and_a_seed_gives_the_same_ones() {
    let made = |seed| {
        let store = MemoryStore::new(1);
        let params = Params::new(&store).scope("trunk.0");
        let layer = LayersOf::<Matrix>::new("{}").unwrap().make(Size { ins: 30, outs: 8 }, &params).unwrap();
        let whole = store.get("trunk.0.weight").unwrap().copy();
        sparsify(&*layer, &params, 0.9, seed).unwrap();
        (whole, store.get("trunk.0.weight").unwrap())
    };
    let (whole, weight) = made(5);
    assert!(weight.requires_grad());
    // `matrix` keeps (ins, outs).
    assert_eq!(zeros_along(&weight, &[0]), [27; 8]);
    // What is left is what was there; units look at different inputs.
    assert!(weight.where_self(&weight.ne(0.0), &whole).equal(&whole));
    assert!(!weight.select(1, 0).eq(0.0).equal(&weight.select(1, 1).eq(0.0)));
    assert!(made(5).1.equal(&weight) && !made(6).1.equal(&weight));
}

/// A layer that is nothing but its list of weights.
struct Lists(Vec<WeightLayout>);

impl Layer for Lists {
    fn forward(&self, x: &Tensor, _: Range<i64>) -> Result<Tensor> {
        Ok(x.shallow_clone())
    }

    fn weights(&self) -> Result<Vec<WeightLayout>> {
        Ok(self.0.clone())
    }
}

#[test]
fn inputs_may_lie_along_several_dims_and_one_is_always_kept() {
    let store = MemoryStore::new(1);
    let params = Params::new(&store);
    let weight = params.normal("w", &[3, 5, 4], 1.0).unwrap();
    let other = params.normal("w2", &[2, 2], 1.0).unwrap();
    let lists = |name: &str, dims: &[i64]| {
        Lists(vec![WeightLayout { name: name.to_owned(), input_dims: dims.to_vec() }])
    };
    // ⌈0.5 · 12⌉ of 3 · 4 inputs of each of 5 units.
    sparsify(&lists("w", &[2, 0]), &params, 0.5, 1).unwrap();
    assert_eq!(zeros_along(&weight, &[0, 2]), [6; 5]);
    sparsify(&lists("w2", &[1]), &params, 1.0, 1).unwrap();
    assert_eq!(zeros_along(&other, &[1]), [1; 2]);
    sparsify(&Lists(Vec::new()), &params, 0.9, 1).unwrap();

    for (layer, share, expected) in [
        (lists("w", &[3]), 0.5, "dim 3"),
        (lists("x", &[0]), 0.5, "'x', and has none"),
        (lists("w", &[0]), 1.5, "within 0…1"),
    ] {
        let error = sparsify(&layer, &params, share, 1).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(params.list("").unwrap().len(), 2);
}
