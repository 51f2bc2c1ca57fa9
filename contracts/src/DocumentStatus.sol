// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Histories} from "./Histories.sol";
import {IDocumentStatus} from "./interfaces/IDocumentStatus.sol";
import {ERC2771Context} from "@openzeppelin/contracts/metatx/ERC2771Context.sol";

/// @title What authors say about their statements after registering them
contract DocumentStatus is Histories, IDocumentStatus, ERC2771Context {
    uint8 private constant REVOKED = 1;
    uint8 private constant SUSPENDED = 2;
    uint8 private constant REINSTATED = 3;
    uint8 private constant SUPERSEDED = 4;

    struct Status {
        uint8 kind;
        uint8 reason;
        uint64 effectiveBlock;
        bytes32 newId;
    }

    mapping(bytes32 key => Status) private _last;

    /// @param forwarder The SignedCalls contract.
    constructor(address forwarder) ERC2771Context(forwarder) {}

    /// @inheritdoc IDocumentStatus
    function revoke(bytes32 statementId, uint8 reason, uint64 effectiveBlock) external {
        Status storage last = _lastOf(_msgSender(), statementId);
        if (last.kind == REVOKED && effectiveBlock >= last.effectiveBlock) {
            revert AlreadyRevoked(statementId);
        }
        _record(statementId, Status(REVOKED, reason, effectiveBlock, 0));
    }

    /// @inheritdoc IDocumentStatus
    function suspend(bytes32 statementId, uint8 reason, uint64 effectiveBlock) external {
        Status storage last = _requireOpen(statementId);
        if (last.kind == SUSPENDED && effectiveBlock == last.effectiveBlock) {
            revert AlreadySuspended(statementId);
        }
        _record(statementId, Status(SUSPENDED, reason, effectiveBlock, 0));
    }

    /// @inheritdoc IDocumentStatus
    function reinstate(bytes32 statementId, uint8 reason, uint64 effectiveBlock) external {
        Status storage last = _requireOpen(statementId);
        if (last.kind != SUSPENDED) revert NotSuspended(statementId);
        _record(statementId, Status(REINSTATED, reason, effectiveBlock, 0));
    }

    /// @inheritdoc IDocumentStatus
    function supersede(bytes32 statementId, bytes32 newId, uint8 reason, uint64 effectiveBlock) external {
        if (newId == 0 || newId == statementId) revert SuccessorInvalid(newId);
        _requireOpen(statementId);
        _record(statementId, Status(SUPERSEDED, reason, effectiveBlock, newId));
    }

    /// @inheritdoc IDocumentStatus
    function statusOf(address actor, bytes32 statementId)
        external
        view
        returns (uint8 kind, uint8 reason, uint64 effectiveBlock, bytes32 newId)
    {
        Status storage last = _last[_key(actor, statementId)];
        return (last.kind, last.reason, last.effectiveBlock, last.newId);
    }

    function _record(bytes32 statementId, Status memory status) private {
        address actor = _msgSender();
        bytes32 key = _key(actor, statementId);
        _last[key] = status;
        _append(key, abi.encode(status.kind, status.reason, status.effectiveBlock, status.newId));
        emit StatusChanged(
            actor, statementId, status.kind, status.reason, status.effectiveBlock, status.newId
        );
    }

    /// @dev The caller's last word, which must be neither a revocation nor a supersession.
    function _requireOpen(bytes32 statementId) private view returns (Status storage last) {
        last = _lastOf(_msgSender(), statementId);
        if (last.kind == REVOKED) revert AlreadyRevoked(statementId);
        if (last.kind == SUPERSEDED) revert AlreadySuperseded(statementId, last.newId);
    }

    function _lastOf(address actor, bytes32 statementId) private view returns (Status storage) {
        if (statementId == 0) revert StatementIdZero();
        return _last[_key(actor, statementId)];
    }

    function _key(address actor, bytes32 statementId) private pure returns (bytes32) {
        return keccak256(abi.encode(actor, statementId));
    }
}
