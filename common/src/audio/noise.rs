//! Pseudo-random bytes by offset: SplitMix64 in counter mode, so that any part can be had without what precedes it.
//! Not for secrets.

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
const BLOCK_BYTES: u64 = 8;

/// Fills `out` with the bytes from `offset` on. Two seeds differ within the first eight bytes.
pub(super) fn copy_at(seed: u64, offset: u64, out: &mut [u8]) {
    let mut at = offset;
    let mut rest = out;
    while !rest.is_empty() {
        let block = block(seed, at / BLOCK_BYTES);
        let unread = block.len() - (at % BLOCK_BYTES) as usize;
        let (now, later) = rest.split_at_mut(unread.min(rest.len()));
        now.copy_from_slice(&block[block.len() - unread..][..now.len()]);
        at += now.len() as u64;
        rest = later;
    }
}

fn block(seed: u64, index: u64) -> [u8; 8] {
    mix(mix(seed).wrapping_add(index.wrapping_mul(STEP))).to_le_bytes()
}

/// A bijection (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(STEP);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
