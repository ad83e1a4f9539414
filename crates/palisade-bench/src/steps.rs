//! The steps of a ladder as a list of types, innermost first: `Step<Innermost, Step<…, ()>>`.
//!
//! The services are built with their real types, because a boxed service at each step would cost more than many layers.

use tower_layer::Layer;

use crate::{
    requests::Requests,
    subject::{Measured, Run},
};

/// A layer, inside the steps before it.
#[derive(Clone, Debug)]
pub struct Step<N, E> {
    pub(crate) layer: N,
    pub(crate) outside: E,
}

/// Wraps a service in all steps.
pub trait Build<S> {
    /// The wrapped service.
    type Service;

    /// Wraps `service`.
    fn build(&self, service: S) -> Self::Service;
}

impl<S> Build<S> for () {
    type Service = S;

    fn build(&self, service: S) -> S {
        service
    }
}

impl<S, N: Layer<S>, E: Build<N::Service>> Build<S> for Step<N, E> {
    type Service = E::Service;

    fn build(&self, service: S) -> Self::Service {
        self.outside.build(self.layer.layer(service))
    }
}

/// The services of a ladder: without steps, with the first one, with the first two, up to the whole stack.
pub trait Growing<S, B>: Build<S> {
    /// Appends the services, each with the requests.
    fn growing(&self, service: &S, requests: &Requests<B>, subjects: &mut Vec<Box<dyn Run>>);
}

impl<S: Measured<B>, B> Growing<S, B> for () {
    fn growing(&self, service: &S, requests: &Requests<B>, subjects: &mut Vec<Box<dyn Run>>) {
        subjects.push(service.clone().with_requests(requests.clone()));
    }
}

impl<S, B, N, E> Growing<S, B> for Step<N, E>
where
    S: Clone,
    E: Growing<S, B>,
    Self: Build<S, Service: Measured<B>>,
{
    fn growing(&self, service: &S, requests: &Requests<B>, subjects: &mut Vec<Box<dyn Run>>) {
        self.outside.growing(service, requests, subjects);
        subjects.push(self.build(service.clone()).with_requests(requests.clone()));
    }
}

/// The whole stack without one of its steps, for each step, the innermost one first.
pub trait WithoutEach<S, B> {
    /// Appends the services, each with the requests.
    fn without_each(&self, service: &S, requests: &Requests<B>, subjects: &mut Vec<Box<dyn Run>>);
}

impl<S, B> WithoutEach<S, B> for () {
    fn without_each(&self, _: &S, _: &Requests<B>, _: &mut Vec<Box<dyn Run>>) {}
}

impl<S, B, N, E> WithoutEach<S, B> for Step<N, E>
where
    S: Clone,
    N: Layer<S>,
    E: Build<S, Service: Measured<B>> + WithoutEach<N::Service, B>,
{
    fn without_each(&self, service: &S, requests: &Requests<B>, subjects: &mut Vec<Box<dyn Run>>) {
        subjects.push(self.outside.build(service.clone()).with_requests(requests.clone()));
        self.outside.without_each(&self.layer.layer(service.clone()), requests, subjects);
    }
}
