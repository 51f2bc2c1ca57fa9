// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @title Anchored heads of transparency logs
/// @notice No head can ever be anchored that does not extend the one before it, not even by the log's operator:
/// the contract checks the RFC 9162 consistency proof itself. Not proven is that a new size is the true number
/// of leaves under its root: that is the operator's signed word. A log wedged by a wrong one is succeeded by a
/// new origin that names it.
interface ILogAnchor {
    /// @notice The origin is empty, longer than 255 bytes, or holds another byte than printable ASCII without
    /// space and '+' (C2SP signed note: key names).
    error OriginMalformed();
    /// @notice The log key is empty or longer than 256 bytes.
    error LogKeyMalformed();
    /// @notice The origin was registered before; registrations are never changed.
    error OriginTaken(bytes32 originId);
    /// @notice The predecessor is unknown, already succeeded, or another account's.
    error PredecessorInvalid(bytes32 predecessor);
    /// @notice Nobody registered this origin.
    error OriginUnknown(bytes32 originId);
    /// @notice Only the origin's controller says which keys count.
    error NotController(bytes32 originId, address account);
    /// @notice A successor retired the origin: it takes no further key.
    error OriginRetired(bytes32 originId);
    /// @notice The key counts already.
    error LogKeyCounts(bytes32 originId, bytes logKey);
    /// @notice The key counted and was ended: an ended key never counts again.
    error LogKeyOver(bytes32 originId, bytes logKey);
    /// @notice The key does not count, so it cannot be ended.
    error LogKeyAbsent(bytes32 originId, bytes logKey);
    /// @notice The only key that counts is not ended: add its successor first.
    error LastLogKey(bytes32 originId);
    /// @notice Eight keys count already.
    error TooManyLogKeys(bytes32 originId);

    /// @notice `controller` alone can extend this origin from now on.
    event OriginRegistered(
        bytes32 indexed originId, address indexed controller, string origin, bytes logKey, bytes32 predecessor
    );
    /// @notice `logKey` counts from this block on, beside those that counted before.
    event LogKeyAdded(bytes32 indexed originId, bytes logKey);
    /// @notice `logKey` counts up to this block and never again.
    event LogKeyEnded(bytes32 indexed originId, bytes logKey);
    /// @notice `root` over `size` leaves extends `prevRoot` over `prevSize` leaves.
    event Anchored(bytes32 indexed originId, uint64 size, bytes32 root, uint64 prevSize, bytes32 prevRoot);
    /// @notice Nothing was anchored.
    /// @param reason 1 unauthorised, 2 not larger than the anchored head (a repeat included), 3 bad proof,
    /// 4 unknown origin, 5 retired.
    event AnchorRefused(bytes32 indexed originId, uint64 size, bytes32 root, uint8 reason);

    /// @notice Registers a log for the caller. History record under `originId`: (uint8 1, string origin,
    /// address controller, bytes logKey, bytes32 predecessor).
    /// @param origin The log's C2SP origin; `originId = keccak256(bytes(origin))`.
    /// @param logKey Signature type byte and public key, as in a C2SP verifier key.
    /// @param predecessor Origin id of the caller's log that this one succeeds and retires; zero: none.
    function registerOrigin(string calldata origin, bytes calldata logKey, bytes32 predecessor) external;

    /// @notice Lets another key sign for the origin, beside those that count: the caller is its controller.
    /// History record under `originId`: (uint8 2, bytes logKey). Says nothing about who holds the key.
    /// @param logKey As in `registerOrigin`; at most eight count at a time.
    function addLogKey(bytes32 originId, bytes calldata logKey) external;

    /// @notice Ends a key for ever: what is anchored in later blocks needs another one. The caller is the
    /// origin's controller, and another key must count. History record under `originId`: (uint8 3, bytes logKey).
    function endLogKey(bytes32 originId, bytes calldata logKey) external;

    /// @notice Anchors a larger head. Never reverts: a refusal is `AnchorRefused`.
    /// @param proof RFC 9162 consistency proof from the anchored size to `size`; empty for the first head.
    function anchor(bytes32 originId, uint64 size, bytes32 root, bytes32[] calldata proof) external;

    /// @notice The anchored head; size 0 if there is none.
    function anchoredHead(bytes32 originId) external view returns (uint64 size, bytes32 root);

    /// @notice Controller of an origin (zero: unknown), and whether a successor has retired it.
    function originOf(bytes32 originId) external view returns (address controller, bool retired);

    /// @notice The keys that count at the end of this block, in no order; none for an unknown origin.
    function logKeys(bytes32 originId) external view returns (bytes[] memory keys);

    /// @notice Whether `path` proves the leaf with hash `leafHash` at `index` of the tree of `size` leaves under
    /// `root` (RFC 9162 section 2.1.3.2). Says nothing about whether that root is anchored.
    function verifyInclusion(
        bytes32 root,
        uint64 size,
        uint64 index,
        bytes32 leafHash,
        bytes32[] calldata path
    ) external view returns (bool);

    /// @notice Whether `proof` proves that the tree `(size, root)` extends `(prevSize, prevRoot)` (RFC 9162
    /// section 2.1.4.2), for 0 < prevSize < size: what `anchor` would decide, for checking before signing.
    function verifyConsistency(
        bytes32 prevRoot,
        uint64 prevSize,
        bytes32 root,
        uint64 size,
        bytes32[] calldata proof
    ) external view returns (bool);
}
