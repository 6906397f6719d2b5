//! Where each stream is in its pass over the pictures.
use crate::options::Order;
use efference_sdk::serde::{Deserialize, Serialize};
use efference_sdk::{Random, derive_seed};

/// A place in the passes over the pictures; what else a stream is follows from it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(crate = "efference_sdk::serde", deny_unknown_fields)]
pub(crate) struct Place {
    /// Passes done.
    pub(crate) pass: u64,
    /// Pictures of this pass that are done.
    pub(crate) position: usize,
    /// Whether the label is shown, not the picture.
    pub(crate) labelled: bool,
    /// Whether the frame waits to be polled; else the stream waits for a response.
    pub(crate) ready: bool,
}

/// One stream.
pub(crate) struct Stream {
    pub(crate) place: Place,
    pub(crate) observation: Vec<f32>,
    /// The numbers of the pictures in the order of this pass.
    order: Vec<u32>,
}

/// How the pictures of all streams are ordered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ordering {
    pub(crate) order: Order,
    pub(crate) seed: u64,
    pub(crate) streams: usize,
    /// Pictures in a pass.
    pub(crate) count: usize,
}

impl Ordering {
    /// The numbers of the pictures in the order of a pass of a stream.
    fn pass(&self, stream: usize, pass: u64) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.count as u32).collect();
        match self.order {
            Order::File => {
                order.rotate_left((stream as u128 * self.count as u128 / self.streams as u128) as usize)
            }
            // Fisher and Yates: each order is equally likely.
            Order::Shuffled => {
                let purpose = format!("labels order of stream {stream} in pass {pass}");
                let mut random = Random::new(derive_seed(self.seed, &purpose));
                for last in (1..order.len()).rev() {
                    order.swap(last, random.below(last as u64 + 1) as usize);
                }
            }
        }
        order
    }
}

impl Stream {
    /// A stream at its first picture, with an observation that is yet to be written.
    pub(crate) fn new(ordering: &Ordering, stream: usize, observation: usize) -> Self {
        let place = Place { pass: 0, position: 0, labelled: false, ready: true };
        Stream { place, observation: vec![f32::NAN; observation], order: ordering.pass(stream, 0) }
    }

    /// Goes to a place.
    pub(crate) fn go(&mut self, ordering: &Ordering, stream: usize, place: Place) {
        self.place = place;
        self.order = ordering.pass(stream, place.pass);
    }

    /// The number of the picture that is shown, or whose label is.
    pub(crate) fn picture(&self) -> usize {
        self.order[self.place.position] as usize
    }

    /// Goes from a picture to its label, or from there to the next picture.
    pub(crate) fn advance(&mut self, ordering: &Ordering, stream: usize) {
        self.place.labelled = !self.place.labelled;
        if self.place.labelled {
            return;
        }
        self.place.position += 1;
        if self.place.position == self.order.len() {
            self.place.position = 0;
            self.place.pass += 1;
            if ordering.order == Order::Shuffled {
                self.order = ordering.pass(stream, self.place.pass);
            }
        }
    }
}
