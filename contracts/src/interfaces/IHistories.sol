// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @title Append-only histories, one hash chain per key
interface IHistories {
    /// @notice A record was appended: `head = keccak256(abi.encode(previous head, uint64 block number,
    /// keccak256(record)))`.
    /// @param key What the history is about; each contract documents its keys.
    /// @param head The head after this record.
    /// @param record ABI-encoded record whose first item is its kind (uint8).
    event HistoryAppended(bytes32 indexed key, bytes32 head, bytes record);

    /// @notice Head of the history of `key`; zero if nothing was ever recorded.
    function headOf(bytes32 key) external view returns (bytes32);
}
