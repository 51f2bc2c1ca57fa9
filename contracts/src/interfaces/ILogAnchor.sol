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

    /// @notice `controller` alone can extend this origin from now on.
    event OriginRegistered(
        bytes32 indexed originId, address indexed controller, string origin, bytes logKey, bytes32 predecessor
    );
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

    /// @notice Anchors a larger head. Never reverts: a refusal is `AnchorRefused`.
    /// @param proof RFC 9162 consistency proof from the anchored size to `size`; empty for the first head.
    function anchor(bytes32 originId, uint64 size, bytes32 root, bytes32[] calldata proof) external;

    /// @notice The anchored head; size 0 if there is none.
    function anchoredHead(bytes32 originId) external view returns (uint64 size, bytes32 root);

    /// @notice Controller of an origin (zero: unknown), and whether a successor has retired it.
    function originOf(bytes32 originId) external view returns (address controller, bool retired);

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
