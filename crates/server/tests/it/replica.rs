//! What may be a little old comes from a replica, while there is a good one; and nobody ever notices that there is
//! none. A real primary, a real standby that nobody waits for, and the built server.

mod away;
mod near;
mod world;
