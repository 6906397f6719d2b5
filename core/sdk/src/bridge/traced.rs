//! How losses cross the boundary whose terms come with their gradients.
use super::cross::Ret;
use super::lists::{list, list_with_owner, read_str, take_list, try_take_list};
use crate::{Loss, Result, TraceStep, TracedLoss, TracedRow, TracedTerm, bail};
use efference_abi::{self as abi, List, Str};
use tch::Tensor;

impl Ret for Option<TracedLoss> {
    type Abi = abi::TracedLoss;

    fn into_raw(self) -> Self::Abi {
        let known = self.is_some();
        let TracedLoss { traced, others, numbers } = self.unwrap_or_default();
        let mut names = Vec::with_capacity(traced.len());
        let mut terms = Vec::with_capacity(traced.len());
        for TracedTerm { name, rows, gradients } in traced {
            terms.push(abi::TracedTerm {
                name: Str::new(&name),
                rows: list(rows.into_iter().map(row_into_raw).collect()),
                gradients: list(gradients.into_iter().map(Ret::into_raw).collect()),
            });
            // The bytes of a name stay where they are.
            names.push(name);
        }
        let named =
            |(name, number): &(String, f64)| abi::NamedNumber { name: Str::new(name), number: *number };
        abi::TracedLoss {
            known,
            traced: list_with_owner(terms, names),
            others: others.into_raw(),
            numbers: list_with_owner(numbers.iter().map(named).collect(), numbers),
        }
    }

    unsafe fn from_raw(abi: Self::Abi) -> Result<Self> {
        // SAFETY: lists that were moved here, each taken once.
        unsafe {
            let traced = try_take_list(abi.traced, |term| {
                let name = read_str(term.name);
                let rows = try_take_list(term.rows, |row| row_of_raw(&name, row));
                let gradients = try_take_list(term.gradients, |g| <Option<Tensor>>::from_raw(g));
                Ok(TracedTerm { name, rows: rows?, gradients: gradients? })
            });
            let others = Loss::from_raw(abi.others);
            let numbers = take_list(abi.numbers, |n| (read_str(n.name), n.number));
            let loss = TracedLoss { traced: traced?, others: others?, numbers };
            Ok(abi.known.then_some(loss))
        }
    }
}

fn row_into_raw(row: TracedRow) -> abi::TracedRow {
    let TracedRow { value, error, step } = row;
    let step = match step {
        TraceStep::Continue => 1,
        TraceStep::Restart => 0,
        TraceStep::Rest => -1,
    };
    abi::TracedRow { value, error, step }
}

fn row_of_raw(name: &str, row: abi::TracedRow) -> Result<TracedRow> {
    let abi::TracedRow { value, error, step } = row;
    let step = match step {
        1 => TraceStep::Continue,
        0 => TraceStep::Restart,
        -1 => TraceStep::Rest,
        _ => bail!("the loss term '{name}' says {step} of a trace; 1, 0 or −1 is known"),
    };
    Ok(TracedRow { value, error, step })
}

impl Ret for Vec<String> {
    type Abi = List<Str>;

    fn into_raw(self) -> Self::Abi {
        // The bytes of a text stay where they are when the vector is moved.
        list_with_owner(self.iter().map(|text| Str::new(text)).collect(), self)
    }

    unsafe fn from_raw(abi: Self::Abi) -> Result<Self> {
        // SAFETY: a list that was moved here, taken once.
        Ok(unsafe { take_list(abi, |text| read_str(text)) })
    }
}
