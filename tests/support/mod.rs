//! What the tests share: throwaway servers, a real Meltano, an HTTP client.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod postgres;
