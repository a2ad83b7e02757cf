//! What sequences share of the cache.

use std::collections::HashMap;

use tiefsee::engine::{BLOCK, BlockHash, BlockPool};

use crate::world::{LIMITS, World, expected, request};

#[test]
fn a_turn_reuses_the_blocks_that_it_shares_with_others() {
    for depth in [1, 4] {
        let mut world = World::new(LIMITS, depth);
        let mut run = |prompt: &[u32]| {
            world.add(request(prompt.to_vec(), 4));
            let (_, tokens) = world.drain().remove(0);
            assert_eq!(tokens, expected(prompt, 4, LIMITS.context));
            (world.cached_tokens, tokens)
        };
        let first: Vec<u32> = (10..72).collect();
        let (cached, answer) = run(&first);
        assert_eq!((cached, answer.len()), (0, 66));
        // An answer's tokens are kept as well: 65 of them ran.
        let turn: Vec<u32> = answer.iter().copied().chain(200..231).collect();
        assert_eq!(run(&turn).0, 2 * BLOCK);
        // The very same prompt still runs its last token: its scores are needed.
        assert_eq!(run(&turn[..3 * BLOCK]).0, 2 * BLOCK);
        assert_eq!(run(&turn).0, 3 * BLOCK);
        // One that shares only its beginning, and one that has the same tokens elsewhere.
        let other: Vec<u32> = first[..33].iter().copied().chain(900..960).collect();
        assert_eq!(run(&other).0, BLOCK);
        assert_eq!(run(&turn[BLOCK..]).0, 0);
        // Two of the blocks that had not been used for longest made room for that.
        assert_eq!(run(&turn).0, BLOCK);
    }
}

#[test]
fn sequences_that_begin_alike_run_their_beginning_once() {
    for depth in [1, 4] {
        let mut world = World::new(LIMITS, depth);
        let prompt: Vec<u32> = (2..92).collect();
        let ids: Vec<_> = (0..3)
            .map(|_| world.add(request(prompt.clone(), 5)))
            .collect();
        let finished: HashMap<_, _> = world.drain().into_iter().collect();
        let expected = expected(&prompt, 5, LIMITS.context);
        assert!(ids.iter().all(|id| finished[id] == expected));
        // Two blocks, and three times the rest. All prompts together would not even fit.
        assert_eq!(world.prompt_tokens, 90 + 26 + 26);
    }
}

#[test]
fn the_pool_keeps_what_was_used_last() {
    let hashes: Vec<_> = BlockHash::chain(&(0..128).collect::<Vec<_>>()).collect();
    let mut pool = BlockPool::new(3);
    let blocks: Vec<_> = (0..3).map_while(|_| pool.take()).collect();
    assert_eq!((blocks.len(), pool.free(), pool.take()), (3, 0, None));
    for (&block, hash) in blocks.iter().zip(&hashes).take(2) {
        pool.name(block, *hash);
    }
    assert_eq!(pool.share(&hashes[0]), Some(blocks[0]));
    pool.give(blocks.clone());
    assert_eq!((pool.free(), pool.users(blocks[0])), (2, 1));
    pool.give(vec![blocks[0]]);
    // First what holds nothing, then what was left first.
    assert_eq!(pool.take(), Some(blocks[2]));
    assert_eq!(pool.take(), Some(blocks[1]));
    assert_eq!(pool.share(&hashes[1]), None);
    assert_eq!(pool.share(&hashes[0]), Some(blocks[0]));
    assert_eq!(pool.take(), None);
}

#[test]
fn a_blocks_hash_is_that_of_all_tokens_before() {
    let hashes = |tokens: &[u32]| BlockHash::chain(tokens).collect::<Vec<_>>();
    let tokens: Vec<u32> = (0..100).collect();
    let all = hashes(&tokens);
    assert_eq!((all.len(), &all[..2]), (3, &hashes(&tokens[..95])[..2]));
    let mut other = tokens.clone();
    other[0] = 1;
    assert!(all.iter().zip(hashes(&other)).all(|(a, b)| *a != b));
}
