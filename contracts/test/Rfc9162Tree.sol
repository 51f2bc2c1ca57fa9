// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @dev Trees by the recursive definitions of RFC 9162 section 2.1: a second way to the same hashes as the
/// iterative verifiers under test. Slow on purpose.
library Rfc9162Tree {
    function leafHash(bytes memory entry) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(bytes1(0x00), entry));
    }

    /// @dev MTH(D[start:end]), section 2.1.1, over leaf hashes; end > start.
    function root(bytes32[] memory leaves, uint256 start, uint256 end) internal pure returns (bytes32) {
        if (end - start == 1) return leaves[start];
        uint256 k = split(end - start);
        return
            sha256(
                abi.encodePacked(bytes1(0x01), root(leaves, start, start + k), root(leaves, start + k, end))
            );
    }

    /// @dev PATH(m, D_n), section 2.1.3.1.
    function inclusion(bytes32[] memory leaves, uint256 m, uint256 n)
        internal
        pure
        returns (bytes32[] memory path)
    {
        (bytes32[] memory found, uint256 length) = (new bytes32[](64), 0);
        length = _path(leaves, m, 0, n, found);
        return _cut(found, length);
    }

    /// @dev PROOF(m, D_n), section 2.1.4.1, for 0 < m < n.
    function consistency(bytes32[] memory leaves, uint256 m, uint256 n)
        internal
        pure
        returns (bytes32[] memory proof)
    {
        bytes32[] memory found = new bytes32[](65);
        return _cut(found, _subproof(leaves, m, 0, n, true, found));
    }

    /// @dev Largest power of two smaller than n.
    function split(uint256 n) internal pure returns (uint256 k) {
        for (k = 1; k << 1 < n; k <<= 1) {}
    }

    function _path(bytes32[] memory leaves, uint256 m, uint256 start, uint256 end, bytes32[] memory out)
        private
        pure
        returns (uint256 length)
    {
        if (end - start == 1) return 0;
        uint256 k = split(end - start);
        bool left = m < k;
        length = left ? _path(leaves, m, start, start + k, out) : _path(leaves, m - k, start + k, end, out);
        out[length] = left ? root(leaves, start + k, end) : root(leaves, start, start + k);
        return length + 1;
    }

    function _subproof(
        bytes32[] memory leaves,
        uint256 m,
        uint256 start,
        uint256 end,
        bool whole,
        bytes32[] memory out
    ) private pure returns (uint256 length) {
        if (m == end - start) {
            if (whole) return 0;
            out[0] = root(leaves, start, end);
            return 1;
        }
        uint256 k = split(end - start);
        bool left = m <= k;
        length = left
            ? _subproof(leaves, m, start, start + k, whole, out)
            : _subproof(leaves, m - k, start + k, end, false, out);
        out[length] = left ? root(leaves, start + k, end) : root(leaves, start, start + k);
        return length + 1;
    }

    function _cut(bytes32[] memory found, uint256 length) private pure returns (bytes32[] memory cut) {
        cut = new bytes32[](length);
        for (uint256 i = 0; i < length; ++i) {
            cut[i] = found[i];
        }
    }
}
