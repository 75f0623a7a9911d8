//! Chance.

/// A number that nobody can foresee; 0 where the kernel has no generator.
pub fn number() -> u32 {
    let mut bytes = [0; 4];
    // Four bytes come at once, random(4).
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(4) => u32::from_ne_bytes(bytes),
        Ok(_) | Err(_) => 0,
    }
}
