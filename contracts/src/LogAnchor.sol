// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Histories} from "./Histories.sol";
import {Rfc9162} from "./Rfc9162.sol";
import {ILogAnchor} from "./interfaces/ILogAnchor.sol";
import {ERC2771Context} from "@openzeppelin/contracts/metatx/ERC2771Context.sol";

/// @title Anchored heads of transparency logs
contract LogAnchor is Histories, ILogAnchor, ERC2771Context {
    uint8 private constant RECORD_REGISTERED = 1;
    uint8 private constant RECORD_KEY_ADDED = 2;
    uint8 private constant RECORD_KEY_ENDED = 3;

    uint8 private constant UNAUTHORISED = 1;
    uint8 private constant NOT_LARGER = 2;
    uint8 private constant BAD_PROOF = 3;
    uint8 private constant UNKNOWN_ORIGIN = 4;
    uint8 private constant RETIRED = 5;

    /// @dev Longest origin, bytes.
    uint256 private constant MAX_ORIGIN = 255;
    /// @dev Longest log key, bytes: an Ed25519 one takes 33.
    uint256 private constant MAX_LOG_KEY = 256;
    /// @dev Most keys that count at a time.
    uint256 private constant MAX_LOG_KEYS = 8;

    struct Origin {
        address controller;
        uint64 size;
        bool retired;
        bytes32 root;
    }

    mapping(bytes32 originId => Origin) private _origins;
    /// @dev The keys that count.
    mapping(bytes32 originId => bytes[] keys) private _logKeys;
    mapping(bytes32 originId => mapping(bytes32 logKeyHash => bool)) private _ended;

    /// @param forwarder The SignedCalls contract.
    constructor(address forwarder) ERC2771Context(forwarder) {}

    /// @inheritdoc ILogAnchor
    function registerOrigin(string calldata origin, bytes calldata logKey, bytes32 predecessor) external {
        if (!_isOrigin(bytes(origin))) revert OriginMalformed();
        _checkLogKey(logKey);
        bytes32 originId = keccak256(bytes(origin));
        address controller = _msgSender();
        if (_origins[originId].controller != address(0)) revert OriginTaken(originId);
        if (predecessor != 0) {
            Origin storage former = _origins[predecessor];
            if (former.controller != controller || former.retired) revert PredecessorInvalid(predecessor);
            former.retired = true;
        }
        _origins[originId].controller = controller;
        _logKeys[originId].push(logKey);
        _append(originId, abi.encode(RECORD_REGISTERED, origin, controller, logKey, predecessor));
        emit OriginRegistered(originId, controller, origin, logKey, predecessor);
    }

    /// @inheritdoc ILogAnchor
    function addLogKey(bytes32 originId, bytes calldata logKey) external {
        _checkLogKey(logKey);
        if (_controlled(originId).retired) revert OriginRetired(originId);
        if (_ended[originId][keccak256(logKey)]) revert LogKeyOver(originId, logKey);
        bytes[] storage keys = _logKeys[originId];
        if (_indexOf(keys, logKey) < keys.length) revert LogKeyCounts(originId, logKey);
        if (keys.length >= MAX_LOG_KEYS) revert TooManyLogKeys(originId);
        keys.push(logKey);
        _append(originId, abi.encode(RECORD_KEY_ADDED, logKey));
        emit LogKeyAdded(originId, logKey);
    }

    /// @inheritdoc ILogAnchor
    function endLogKey(bytes32 originId, bytes calldata logKey) external {
        _checkLogKey(logKey);
        _controlled(originId);
        bytes[] storage keys = _logKeys[originId];
        uint256 index = _indexOf(keys, logKey);
        if (index == keys.length) revert LogKeyAbsent(originId, logKey);
        if (keys.length == 1) revert LastLogKey(originId);
        keys[index] = keys[keys.length - 1];
        keys.pop();
        _ended[originId][keccak256(logKey)] = true;
        _append(originId, abi.encode(RECORD_KEY_ENDED, logKey));
        emit LogKeyEnded(originId, logKey);
    }

    /// @inheritdoc ILogAnchor
    function anchor(bytes32 originId, uint64 size, bytes32 root, bytes32[] calldata proof) external {
        Origin storage head = _origins[originId];
        uint8 reason = _refusal(head, size, root, proof);
        if (reason != 0) {
            emit AnchorRefused(originId, size, root, reason);
            return;
        }
        (uint64 prevSize, bytes32 prevRoot) = (head.size, head.root);
        (head.size, head.root) = (size, root);
        emit Anchored(originId, size, root, prevSize, prevRoot);
    }

    /// @inheritdoc ILogAnchor
    function anchoredHead(bytes32 originId) external view returns (uint64 size, bytes32 root) {
        Origin storage head = _origins[originId];
        return (head.size, head.root);
    }

    /// @inheritdoc ILogAnchor
    function originOf(bytes32 originId) external view returns (address controller, bool retired) {
        Origin storage origin = _origins[originId];
        return (origin.controller, origin.retired);
    }

    /// @inheritdoc ILogAnchor
    function logKeys(bytes32 originId) external view returns (bytes[] memory keys) {
        return _logKeys[originId];
    }

    /// @inheritdoc ILogAnchor
    function verifyInclusion(
        bytes32 root,
        uint64 size,
        uint64 index,
        bytes32 leafHash,
        bytes32[] calldata path
    ) external pure returns (bool) {
        return Rfc9162.verifyInclusion(root, size, index, leafHash, path);
    }

    /// @inheritdoc ILogAnchor
    function verifyConsistency(
        bytes32 prevRoot,
        uint64 prevSize,
        bytes32 root,
        uint64 size,
        bytes32[] calldata proof
    ) external pure returns (bool) {
        return Rfc9162.verifyConsistency(prevRoot, prevSize, root, size, proof);
    }

    /// @dev Why this head cannot be anchored; 0 if it can.
    function _refusal(Origin storage head, uint64 size, bytes32 root, bytes32[] calldata proof)
        private
        view
        returns (uint8)
    {
        if (head.controller == address(0)) return UNKNOWN_ORIGIN;
        if (head.controller != _msgSender()) return UNAUTHORISED;
        if (head.retired) return RETIRED;
        if (size <= head.size) return NOT_LARGER;
        // Every tree extends the empty one: the first head needs no proof, and a needless one is no proof.
        bool extends_ = head.size == 0
            ? proof.length == 0
            : Rfc9162.verifyConsistency(head.root, head.size, root, size, proof);
        return extends_ ? 0 : BAD_PROOF;
    }

    /// @dev The origin, if the caller controls it.
    function _controlled(bytes32 originId) private view returns (Origin storage origin) {
        origin = _origins[originId];
        if (origin.controller == address(0)) revert OriginUnknown(originId);
        if (origin.controller != _msgSender()) revert NotController(originId, _msgSender());
    }

    /// @dev Where `logKey` stands among `keys`; their number if it does not.
    function _indexOf(bytes[] storage keys, bytes calldata logKey) private view returns (uint256 index) {
        bytes32 wanted = keccak256(logKey);
        while (index < keys.length && keccak256(keys[index]) != wanted) ++index;
    }

    function _checkLogKey(bytes calldata logKey) private pure {
        if (logKey.length == 0 || logKey.length > MAX_LOG_KEY) revert LogKeyMalformed();
    }

    /// @dev Printable ASCII without space and '+', 1 to 255 bytes.
    function _isOrigin(bytes calldata origin) private pure returns (bool) {
        if (origin.length == 0 || origin.length > MAX_ORIGIN) return false;
        for (uint256 i = 0; i < origin.length; ++i) {
            if (origin[i] <= 0x20 || origin[i] >= 0x7f || origin[i] == "+") return false;
        }
        return true;
    }
}
