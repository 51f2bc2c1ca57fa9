// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @title RFC 9162 proofs over SHA-256, by the algorithms of its sections 2.1.3.2 and 2.1.4.2
/// @notice Names (fn, sn, fr, sr) and step numbers are the RFC's.
library Rfc9162 {
    /// @dev Inclusion: does `path` lead from `leafHash` at `index` to `root` over `size` leaves?
    function verifyInclusion(
        bytes32 root,
        uint64 size,
        uint64 index,
        bytes32 leafHash,
        bytes32[] calldata path
    ) internal pure returns (bool) {
        if (index >= size) return false; // (1)
        (uint64 fn, uint64 sn) = (index, size - 1); // (2)
        bytes32 r = leafHash; // (3)
        for (uint256 i = 0; i < path.length; ++i) {
            if (sn == 0) return false; // (4.a)
            if (fn & 1 == 1 || fn == sn) {
                r = nodeHash(path[i], r); // (4.b.i)
                while (fn & 1 == 0 && fn != 0) (fn, sn) = (fn >> 1, sn >> 1); // (4.b.ii)
            } else {
                r = nodeHash(r, path[i]);
            }
            (fn, sn) = (fn >> 1, sn >> 1); // (4.c)
        }
        return sn == 0 && r == root; // (5)
    }

    /// @dev Consistency, for 0 < first < second only: an empty or equal tree needs no proof and gets none here.
    function verifyConsistency(
        bytes32 firstHash,
        uint64 first,
        bytes32 secondHash,
        uint64 second,
        bytes32[] calldata path
    ) internal pure returns (bool) {
        if (first == 0 || first >= second || path.length == 0) return false; // (1)
        bool whole = first & (first - 1) == 0; // (2) a power of two: its root is the path's first node
        (uint64 fn, uint64 sn) = (first - 1, second - 1); // (3)
        while (fn & 1 == 1) (fn, sn) = (fn >> 1, sn >> 1); // (4)
        bytes32 fr = whole ? firstHash : path[0]; // (5)
        bytes32 sr = fr;
        for (uint256 i = whole ? 0 : 1; i < path.length; ++i) {
            bytes32 c = path[i];
            if (sn == 0) return false; // (6.a)
            if (fn & 1 == 1 || fn == sn) {
                fr = nodeHash(c, fr); // (6.b.i)
                sr = nodeHash(c, sr); // (6.b.ii)
                while (fn & 1 == 0 && fn != 0) (fn, sn) = (fn >> 1, sn >> 1); // (6.b.iii)
            } else {
                sr = nodeHash(sr, c);
            }
            (fn, sn) = (fn >> 1, sn >> 1); // (6.c)
        }
        return fr == firstHash && sr == secondHash && sn == 0; // (7)
    }

    /// @dev Hash of an inner node, RFC 9162 section 2.1.1, by the SHA-256 precompile.
    function nodeHash(bytes32 left, bytes32 right) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0x01), left, right));
    }
}
