// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IHistories} from "./interfaces/IHistories.sol";

/// @title Provable histories
/// @notice Must be inherited first, so that `_heads` is storage slot 0 and the slot of a key's head is
/// `keccak256(abi.encode(key, uint256(0)))`. One storage proof of a head, with all its records, is the whole
/// history of that key: complete, ordered and dated. A head of zero proves that nothing was ever recorded.
abstract contract Histories is IHistories {
    /// @dev key => hash chain over everything ever recorded under it. Slot 0: evidence depends on it.
    mapping(bytes32 key => bytes32 head) private _heads;

    /// @inheritdoc IHistories
    function headOf(bytes32 key) public view returns (bytes32) {
        return _heads[key];
    }

    /// @dev Extends the history of `key` by `record`, dated with this block.
    function _append(bytes32 key, bytes memory record) internal {
        bytes32 head = keccak256(abi.encode(_heads[key], uint64(block.number), keccak256(record)));
        _heads[key] = head;
        emit HistoryAppended(key, head, record);
    }
}
