//! The engine on real servers: freezing, feeding, waiting, ending.

mod end_to_end;
mod expiring;
mod freezing;
mod leaving_out;
mod ticks;
mod world;
