//! Layers are fetched while others train: a thread of its own asks the provider for one layer
//! after the other, in the order in which they are needed.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use super::worker::Said;
use crate::error::Failure;

/// Gets layers' weights to where the workers look for them.
pub trait Provider: Send + Sync + 'static {
    /// Blocks until the layer is there; gives the bytes that it took, 0 if it was there. Called
    /// from one thread, one layer at a time.
    ///
    /// # Errors
    /// Why the layer cannot be had; its cells fail with that reason.
    fn provide(&self, layer: usize) -> Result<u64, Failure>;

    /// No cell of the sweep needs the layer any more.
    fn release(&self, layer: usize) {
        let _ = layer;
    }
}

enum Order {
    Provide(usize),
    Release(usize),
}

/// The thread; it ends by itself when this is dropped and the layer in work is there.
pub(super) struct Prefetch {
    orders: Sender<Order>,
    thread: JoinHandle<()>,
}

impl Prefetch {
    pub(super) fn start(provider: Arc<dyn Provider>, said: Sender<Said>) -> Self {
        let (orders, inbox) = channel();
        let thread = std::thread::spawn(move || serve(provider.as_ref(), &inbox, &said));
        Self { orders, thread }
    }

    /// Waits for the releases that are still to be done. Only for when no layer is in work: a
    /// download must not hold up an engine that was told to stop.
    pub(super) fn finish(self) {
        drop(self.orders);
        // a provider's panic has been printed by its thread, and costs no more than the releases
        let _ = self.thread.join();
    }

    pub(super) fn provide(&self, layer: usize) {
        // the thread lives as long as this sender
        let _ = self.orders.send(Order::Provide(layer));
    }

    pub(super) fn release(&self, layer: usize) {
        let _ = self.orders.send(Order::Release(layer));
    }
}

fn serve(provider: &dyn Provider, inbox: &Receiver<Order>, said: &Sender<Said>) {
    for order in inbox {
        match order {
            Order::Release(layer) => provider.release(layer),
            Order::Provide(layer) => {
                let provided = provider.provide(layer);
                if said.send(Said::Layer(layer, provided)).is_err() {
                    return;
                }
            }
        }
    }
}
