pub mod smtp_in;
