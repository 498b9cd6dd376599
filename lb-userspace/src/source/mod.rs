//! Objects to model.
