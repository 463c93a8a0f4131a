//! Types of the operations served, generated from AWS's service model.
