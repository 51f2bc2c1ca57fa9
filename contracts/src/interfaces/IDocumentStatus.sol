// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @title What authors say about their statements after registering them
/// @notice Anybody may say anything about any statement id; it counts only where the actor is the statement's
/// issuer, which this contract cannot know and every reader checks. Ids are salted, so not guessable.
/// History key: `keccak256(abi.encode(address actor, bytes32 statementId))`; record: (uint8 kind, uint8 reason,
/// uint64 effectiveBlock, bytes32 newId).
interface IDocumentStatus {
    /// @notice The statement id is zero.
    error StatementIdZero();
    /// @notice Revoked already, and not to an earlier block than now asked for.
    error AlreadyRevoked(bytes32 statementId);
    /// @notice Superseded already; it can only be revoked.
    error AlreadySuperseded(bytes32 statementId, bytes32 newId);
    /// @notice Suspended already since that block.
    error AlreadySuspended(bytes32 statementId);
    /// @notice Not suspended, so nothing to reinstate.
    error NotSuspended(bytes32 statementId);
    /// @notice A statement cannot supersede itself, nor can no statement.
    error SuccessorInvalid(bytes32 newId);

    /// @notice `actor` said something about `statementId`.
    /// @param kind 1 revoked, 2 suspended, 3 reinstated, 4 superseded.
    /// @param reason Reason code, docs/formats/contracts.md.
    /// @param effectiveBlock In force from the end of this block on; may lie before the record.
    /// @param newId The statement that takes its place; zero unless superseded.
    event StatusChanged(
        address indexed actor,
        bytes32 indexed statementId,
        uint8 kind,
        uint8 reason,
        uint64 effectiveBlock,
        bytes32 newId
    );

    /// @notice For ever. May be repeated only to move it to an earlier block.
    function revoke(bytes32 statementId, uint8 reason, uint64 effectiveBlock) external;

    /// @notice Until reinstated.
    function suspend(bytes32 statementId, uint8 reason, uint64 effectiveBlock) external;

    /// @notice Ends a suspension.
    function reinstate(bytes32 statementId, uint8 reason, uint64 effectiveBlock) external;

    /// @notice `newId` takes the statement's place, for ever; it may still be revoked.
    function supersede(bytes32 statementId, bytes32 newId, uint8 reason, uint64 effectiveBlock) external;

    /// @notice What `actor` last said about `statementId`; kind 0: nothing. Which record is in force at a block
    /// is told by the whole history.
    function statusOf(address actor, bytes32 statementId)
        external
        view
        returns (uint8 kind, uint8 reason, uint64 effectiveBlock, bytes32 newId);
}
