// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @title Identities: the ERC-1056 interface and events, with its known faults mended
/// @notice Stock did:ethr resolvers read it unchanged. Mended: signed acts carry chain id, contract, a nonce per
/// identity and a deadline (EIP-712) and refuse high s; owner zero deactivates for ever instead of giving the
/// identity back to its own key; a change of owner ends all delegates and attributes; `ownerAt` knows the past.
/// History key: `bytes32(uint256(uint160(identity)))`; records (1, owner), (2, delegateType, delegate, validTo),
/// (3, name, value, validTo). Times are Unix seconds.
/// Status lists of an identity have a history each, key `keccak256(abi.encode("status list", identity, listId))`;
/// record (4, sequence, digest).
interface IIdentityRegistry {
    /// @notice The actor does not own the identity (nobody owns a deactivated one).
    error NotOwner(address identity, address actor);
    /// @notice The signature is not by the identity's owner over this act, nonce and deadline, or has a high s.
    error SignatureInvalid(address identity);
    /// @notice The deadline (Unix seconds) has passed.
    error DeadlinePassed(uint256 deadline);
    /// @notice A validity of zero seconds.
    error ValidityZero();
    /// @notice An attribute value longer than 2048 bytes.
    error ValueTooLong(uint256 length);
    /// @notice There is nothing of this kind to revoke.
    error NothingToRevoke(address identity);
    /// @notice Sixty-four delegates and attributes are in force: revoke one first.
    error TooManyEntries(address identity);
    /// @notice The owner is this one already.
    error OwnerUnchanged(address identity);
    /// @notice The block asked for is not reached yet.
    error BlockNotReached(uint256 blockNumber);
    /// @notice A status list of the series must have the number `next`.
    error SequenceNotNext(uint64 next);
    /// @notice A digest of zero.
    error DigestZero();

    /// @notice ERC-1056. `owner` zero: deactivated for ever.
    event DIDOwnerChanged(address indexed identity, address owner, uint256 previousChange);
    /// @notice ERC-1056. Revoked if `validTo` is not later than the block's time.
    event DIDDelegateChanged(
        address indexed identity,
        bytes32 delegateType,
        address delegate,
        uint256 validTo,
        uint256 previousChange
    );
    /// @notice ERC-1056. Revoked if `validTo` is not later than the block's time.
    event DIDAttributeChanged(
        address indexed identity, bytes32 name, bytes value, uint256 validTo, uint256 previousChange
    );

    /// @notice `identity` says that `digest` is its status list number `sequence` of the series `listId`.
    /// @param listId keccak256 of the series' id, docs/formats/status-list.md.
    /// @param sequence From 0 on, without a gap. A number is given once and for ever.
    /// @param digest SHA-256 of the canonical credential without its proof.
    event StatusListPublished(
        address indexed identity, bytes32 indexed listId, uint64 sequence, bytes32 digest
    );

    /// @notice Present owner: the identity itself if never changed, zero if deactivated.
    function identityOwner(address identity) external view returns (address);

    /// @notice Owner at the end of block `blockNumber` (for the current block: as of now).
    function ownerAt(address identity, uint256 blockNumber) external view returns (address);

    /// @notice Number of the last block with an event about `identity`; zero: none.
    function changed(address identity) external view returns (uint256);

    /// @notice Number of signed acts so far of `identity`; the next one signs this value.
    function nonce(address identity) external view returns (uint256);

    /// @notice Whether `delegate` is one of this type, now.
    function validDelegate(address identity, bytes32 delegateType, address delegate)
        external
        view
        returns (bool);

    /// @notice Gives the identity to `newOwner`, ending all its delegates and attributes; zero deactivates for ever.
    function changeOwner(address identity, address newOwner) external;

    /// @notice `validity` in seconds from now; beyond uint64 it is for ever.
    function addDelegate(address identity, bytes32 delegateType, address delegate, uint256 validity) external;

    /// @notice Ends a delegate now.
    function revokeDelegate(address identity, bytes32 delegateType, address delegate) external;

    /// @notice `validity` in seconds from now; beyond uint64 it is for ever.
    function setAttribute(address identity, bytes32 name, bytes calldata value, uint256 validity) external;

    /// @notice Ends an attribute now.
    function revokeAttribute(address identity, bytes32 name, bytes calldata value) external;

    /// @notice Records the next status list of a series; `sequence` must be `statusListCount`. It stays through
    /// changes of owner. Whether the list's signature is good, the contract cannot know.
    function publishStatusList(address identity, bytes32 listId, uint64 sequence, bytes32 digest) external;

    /// @notice How many lists the series has: the number of the next one.
    function statusListCount(address identity, bytes32 listId) external view returns (uint64);

    /// @notice As `changeOwner`, by the owner's EIP-712 signature ChangeOwner(address identity,address newOwner,
    /// uint256 nonce,uint256 deadline), domain "Silkledger IdentityRegistry" version "1".
    function changeOwnerSigned(
        address identity,
        uint8 sigV,
        bytes32 sigR,
        bytes32 sigS,
        address newOwner,
        uint256 deadline
    ) external;

    /// @notice As `addDelegate`; AddDelegate(address identity,bytes32 delegateType,address delegate,uint256
    /// validity,uint256 nonce,uint256 deadline).
    function addDelegateSigned(
        address identity,
        uint8 sigV,
        bytes32 sigR,
        bytes32 sigS,
        bytes32 delegateType,
        address delegate,
        uint256 validity,
        uint256 deadline
    ) external;

    /// @notice As `revokeDelegate`; RevokeDelegate(address identity,bytes32 delegateType,address delegate,
    /// uint256 nonce,uint256 deadline).
    function revokeDelegateSigned(
        address identity,
        uint8 sigV,
        bytes32 sigR,
        bytes32 sigS,
        bytes32 delegateType,
        address delegate,
        uint256 deadline
    ) external;

    /// @notice As `setAttribute`; SetAttribute(address identity,bytes32 name,bytes value,uint256 validity,
    /// uint256 nonce,uint256 deadline).
    function setAttributeSigned(
        address identity,
        uint8 sigV,
        bytes32 sigR,
        bytes32 sigS,
        bytes32 name,
        bytes calldata value,
        uint256 validity,
        uint256 deadline
    ) external;

    /// @notice As `revokeAttribute`; RevokeAttribute(address identity,bytes32 name,bytes value,uint256 nonce,
    /// uint256 deadline).
    function revokeAttributeSigned(
        address identity,
        uint8 sigV,
        bytes32 sigR,
        bytes32 sigS,
        bytes32 name,
        bytes calldata value,
        uint256 deadline
    ) external;
}
