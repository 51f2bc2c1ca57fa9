// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Histories} from "./Histories.sol";
import {IIdentityRegistry} from "./interfaces/IIdentityRegistry.sol";
import {ERC2771Context} from "@openzeppelin/contracts/metatx/ERC2771Context.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";

/// @title Identities by ERC-1056, with its known faults mended
contract IdentityRegistry is Histories, IIdentityRegistry, ERC2771Context, EIP712 {
    using Checkpoints for Checkpoints.Trace160;

    uint8 private constant RECORD_OWNER = 1;
    uint8 private constant RECORD_DELEGATE = 2;
    uint8 private constant RECORD_ATTRIBUTE = 3;
    uint8 private constant RECORD_STATUS_LIST = 4;

    /// @dev Delegates and attributes of one identity at a time: bounds the gas of a change of owner, which ends
    /// each of them by an event that stock resolvers understand.
    uint256 private constant MAX_ENTRIES = 64;
    /// @dev Longest attribute value, bytes.
    uint256 private constant MAX_VALUE = 2048;

    bytes32 private constant CHANGE_OWNER =
        keccak256("ChangeOwner(address identity,address newOwner,uint256 nonce,uint256 deadline)");
    bytes32 private constant ADD_DELEGATE = keccak256(
        "AddDelegate(address identity,bytes32 delegateType,address delegate,uint256 validity,uint256 nonce,uint256 deadline)"
    );
    bytes32 private constant REVOKE_DELEGATE = keccak256(
        "RevokeDelegate(address identity,bytes32 delegateType,address delegate,uint256 nonce,uint256 deadline)"
    );
    bytes32 private constant SET_ATTRIBUTE = keccak256(
        "SetAttribute(address identity,bytes32 name,bytes value,uint256 validity,uint256 nonce,uint256 deadline)"
    );
    bytes32 private constant REVOKE_ATTRIBUTE = keccak256(
        "RevokeAttribute(address identity,bytes32 name,bytes value,uint256 nonce,uint256 deadline)"
    );

    /// @dev A delegate (`value` is its 20 bytes) or an attribute.
    struct Entry {
        uint8 kind;
        uint64 validTo;
        bytes32 name;
        bytes value;
    }

    struct Signature {
        uint8 v;
        bytes32 r;
        bytes32 s;
        uint256 deadline;
    }

    mapping(address identity => Checkpoints.Trace160) private _owners;
    /// @dev Entries not revoked; those that ran out by time stay until revoked, cleared or crowded out.
    mapping(address identity => Entry[]) private _entries;
    /// @dev Position + 1 in `_entries`, by `_entryId`; zero: absent.
    mapping(address identity => mapping(bytes32 entryId => uint256)) private _positions;

    /// @inheritdoc IIdentityRegistry
    mapping(address identity => uint256) public changed;
    /// @inheritdoc IIdentityRegistry
    mapping(address identity => uint256) public nonce;
    /// @dev Lists so far, by the history's key.
    mapping(bytes32 key => uint64) private _statusLists;

    /// @param forwarder The SignedCalls contract.
    constructor(address forwarder) ERC2771Context(forwarder) EIP712("Silkledger IdentityRegistry", "1") {}

    /// @inheritdoc IIdentityRegistry
    function identityOwner(address identity) public view returns (address) {
        return _owners[identity].length() == 0 ? identity : address(_owners[identity].latest());
    }

    /// @inheritdoc IIdentityRegistry
    function ownerAt(address identity, uint256 blockNumber) external view returns (address) {
        if (blockNumber > block.number) revert BlockNotReached(blockNumber);
        Checkpoints.Trace160 storage owners = _owners[identity];
        if (owners.length() == 0 || blockNumber < owners.at(0)._key) return identity;
        return address(owners.upperLookup(uint96(blockNumber)));
    }

    /// @inheritdoc IIdentityRegistry
    function validDelegate(address identity, bytes32 delegateType, address delegate)
        external
        view
        returns (bool)
    {
        bytes32 entryId = _entryId(RECORD_DELEGATE, delegateType, abi.encodePacked(delegate));
        uint256 position = _positions[identity][entryId];
        return position != 0 && _entries[identity][position - 1].validTo > block.timestamp;
    }

    /// @inheritdoc IIdentityRegistry
    function changeOwner(address identity, address newOwner) external {
        _requireOwner(identity);
        _changeOwner(identity, newOwner);
    }

    /// @inheritdoc IIdentityRegistry
    function addDelegate(address identity, bytes32 delegateType, address delegate, uint256 validity)
        external
    {
        _requireOwner(identity);
        _set(identity, RECORD_DELEGATE, delegateType, abi.encodePacked(delegate), validity);
    }

    /// @inheritdoc IIdentityRegistry
    function revokeDelegate(address identity, bytes32 delegateType, address delegate) external {
        _requireOwner(identity);
        _revoke(identity, RECORD_DELEGATE, delegateType, abi.encodePacked(delegate));
    }

    /// @inheritdoc IIdentityRegistry
    function setAttribute(address identity, bytes32 name, bytes calldata value, uint256 validity) external {
        _requireOwner(identity);
        _set(identity, RECORD_ATTRIBUTE, name, value, validity);
    }

    /// @inheritdoc IIdentityRegistry
    function revokeAttribute(address identity, bytes32 name, bytes calldata value) external {
        _requireOwner(identity);
        _revoke(identity, RECORD_ATTRIBUTE, name, value);
    }

    /// @inheritdoc IIdentityRegistry
    function publishStatusList(address identity, bytes32 listId, uint64 sequence, bytes32 digest) external {
        _requireOwner(identity);
        if (digest == 0) revert DigestZero();
        bytes32 key = _statusListKey(identity, listId);
        uint64 next = _statusLists[key];
        if (sequence != next) revert SequenceNotNext(next);
        _statusLists[key] = next + 1;
        _append(key, abi.encode(RECORD_STATUS_LIST, sequence, digest));
        emit StatusListPublished(identity, listId, sequence, digest);
    }

    /// @inheritdoc IIdentityRegistry
    function statusListCount(address identity, bytes32 listId) external view returns (uint64) {
        return _statusLists[_statusListKey(identity, listId)];
    }

    /// @inheritdoc IIdentityRegistry
    function changeOwnerSigned(
        address identity,
        uint8 sigV,
        bytes32 sigR,
        bytes32 sigS,
        address newOwner,
        uint256 deadline
    ) external {
        Signature memory signature = Signature(sigV, sigR, sigS, deadline);
        _requireSigned(identity, signature, abi.encode(CHANGE_OWNER, identity, newOwner));
        _changeOwner(identity, newOwner);
    }

    /// @inheritdoc IIdentityRegistry
    function addDelegateSigned(
        address identity,
        uint8 sigV,
        bytes32 sigR,
        bytes32 sigS,
        bytes32 delegateType,
        address delegate,
        uint256 validity,
        uint256 deadline
    ) external {
        Signature memory signature = Signature(sigV, sigR, sigS, deadline);
        _requireSigned(
            identity, signature, abi.encode(ADD_DELEGATE, identity, delegateType, delegate, validity)
        );
        _set(identity, RECORD_DELEGATE, delegateType, abi.encodePacked(delegate), validity);
    }

    /// @inheritdoc IIdentityRegistry
    function revokeDelegateSigned(
        address identity,
        uint8 sigV,
        bytes32 sigR,
        bytes32 sigS,
        bytes32 delegateType,
        address delegate,
        uint256 deadline
    ) external {
        Signature memory signature = Signature(sigV, sigR, sigS, deadline);
        _requireSigned(identity, signature, abi.encode(REVOKE_DELEGATE, identity, delegateType, delegate));
        _revoke(identity, RECORD_DELEGATE, delegateType, abi.encodePacked(delegate));
    }

    /// @inheritdoc IIdentityRegistry
    function setAttributeSigned(
        address identity,
        uint8 sigV,
        bytes32 sigR,
        bytes32 sigS,
        bytes32 name,
        bytes calldata value,
        uint256 validity,
        uint256 deadline
    ) external {
        Signature memory signature = Signature(sigV, sigR, sigS, deadline);
        _requireSigned(
            identity, signature, abi.encode(SET_ATTRIBUTE, identity, name, keccak256(value), validity)
        );
        _set(identity, RECORD_ATTRIBUTE, name, value, validity);
    }

    /// @inheritdoc IIdentityRegistry
    function revokeAttributeSigned(
        address identity,
        uint8 sigV,
        bytes32 sigR,
        bytes32 sigS,
        bytes32 name,
        bytes calldata value,
        uint256 deadline
    ) external {
        Signature memory signature = Signature(sigV, sigR, sigS, deadline);
        _requireSigned(identity, signature, abi.encode(REVOKE_ATTRIBUTE, identity, name, keccak256(value)));
        _revoke(identity, RECORD_ATTRIBUTE, name, value);
    }

    function _requireOwner(address identity) private view {
        if (_msgSender() != identityOwner(identity)) revert NotOwner(identity, _msgSender());
    }

    /// @dev `act` is the head of the EIP-712 struct; nonce and deadline are appended here, for every act alike.
    function _requireSigned(address identity, Signature memory signature, bytes memory act) private {
        if (block.timestamp > signature.deadline) revert DeadlinePassed(signature.deadline);
        bytes32 digest =
            _hashTypedDataV4(keccak256(abi.encodePacked(act, nonce[identity]++, signature.deadline)));
        (address signer, ECDSA.RecoverError error,) =
            ECDSA.tryRecover(digest, signature.v, signature.r, signature.s);
        // A failed recovery gives address zero, and so does the owner of a deactivated identity.
        if (error != ECDSA.RecoverError.NoError || signer != identityOwner(identity)) {
            revert SignatureInvalid(identity);
        }
    }

    function _changeOwner(address identity, address newOwner) private {
        if (identityOwner(identity) == newOwner) revert OwnerUnchanged(identity);
        Entry[] storage entries = _entries[identity];
        for (uint256 i = entries.length; i > 0; --i) {
            Entry memory entry = entries[i - 1];
            _remove(identity, i - 1);
            if (entry.validTo > block.timestamp) {
                _recordEntry(identity, entry.kind, entry.name, entry.value, uint64(block.timestamp));
            }
        }
        _owners[identity].push(uint96(block.number), uint160(newOwner));
        _append(_key(identity), abi.encode(RECORD_OWNER, newOwner));
        emit DIDOwnerChanged(identity, newOwner, changed[identity]);
        changed[identity] = block.number;
    }

    function _set(address identity, uint8 kind, bytes32 name, bytes memory value, uint256 validity) private {
        if (validity == 0) revert ValidityZero();
        if (value.length > MAX_VALUE) revert ValueTooLong(value.length);
        uint256 room = type(uint64).max - block.timestamp;
        uint64 validTo = validity > room ? type(uint64).max : uint64(block.timestamp + validity);
        bytes32 entryId = _entryId(kind, name, value);
        uint256 position = _positions[identity][entryId];
        if (position == 0) {
            if (_entries[identity].length >= MAX_ENTRIES) _dropExpired(identity);
            if (_entries[identity].length >= MAX_ENTRIES) revert TooManyEntries(identity);
            _entries[identity].push(Entry(kind, validTo, name, value));
            _positions[identity][entryId] = _entries[identity].length;
        } else {
            _entries[identity][position - 1].validTo = validTo;
        }
        _recordEntry(identity, kind, name, value, validTo);
    }

    function _revoke(address identity, uint8 kind, bytes32 name, bytes memory value) private {
        uint256 position = _positions[identity][_entryId(kind, name, value)];
        if (position == 0) revert NothingToRevoke(identity);
        _remove(identity, position - 1);
        _recordEntry(identity, kind, name, value, uint64(block.timestamp));
    }

    function _recordEntry(address identity, uint8 kind, bytes32 name, bytes memory value, uint64 validTo)
        private
    {
        _append(
            _key(identity),
            kind == RECORD_DELEGATE
                ? abi.encode(kind, name, address(bytes20(value)), validTo)
                : abi.encode(kind, name, value, validTo)
        );
        _emitEntry(identity, kind, name, value, validTo);
    }

    function _emitEntry(address identity, uint8 kind, bytes32 name, bytes memory value, uint256 validTo)
        private
    {
        if (kind == RECORD_DELEGATE) {
            emit DIDDelegateChanged(identity, name, address(bytes20(value)), validTo, changed[identity]);
        } else {
            emit DIDAttributeChanged(identity, name, value, validTo, changed[identity]);
        }
        changed[identity] = block.number;
    }

    function _dropExpired(address identity) private {
        for (uint256 i = _entries[identity].length; i > 0; --i) {
            if (_entries[identity][i - 1].validTo <= block.timestamp) _remove(identity, i - 1);
        }
    }

    /// @dev Fills the gap with the last entry.
    function _remove(address identity, uint256 index) private {
        Entry[] storage entries = _entries[identity];
        Entry storage gone = entries[index];
        delete _positions[identity][_entryId(gone.kind, gone.name, gone.value)];
        if (index != entries.length - 1) {
            Entry memory last = entries[entries.length - 1];
            entries[index] = last;
            _positions[identity][_entryId(last.kind, last.name, last.value)] = index + 1;
        }
        entries.pop();
    }

    function _entryId(uint8 kind, bytes32 name, bytes memory value) private pure returns (bytes32) {
        return keccak256(abi.encode(kind, name, value));
    }

    function _statusListKey(address identity, bytes32 listId) private pure returns (bytes32) {
        return keccak256(abi.encode("status list", identity, listId));
    }

    function _key(address identity) private pure returns (bytes32) {
        return bytes32(uint256(uint160(identity)));
    }
}
