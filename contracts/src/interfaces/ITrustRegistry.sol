// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @title Who may issue what, recognised by whom
/// @notice Append-only. Periods are block numbers, first inclusive, last exclusive; `untilBlock` 0 is open. Levels
/// are 1 low, 2 substantial, 3 high. Countries are two upper-case ASCII letters; document types one to eight
/// letters or digits, left-aligned and zero-padded. Among the records that have begun at a block, the last
/// recorded decides; a revocation that has begun is for ever. Records and keys: docs/formats/contracts.md.
interface ITrustRegistry {
    /// @notice What an accreditation grants.
    /// @param parent Accreditation under which it was given; zero: by the country's root authority.
    /// @param by Who gave it.
    struct Accreditation {
        address issuer;
        bytes2 country;
        bytes8 docType;
        uint8 level;
        bool maySubaccredit;
        uint64 fromBlock;
        uint64 untilBlock;
        bytes32 parent;
        address by;
    }

    /// @notice Only governance registers countries.
    error NotGovernance(address actor);
    /// @notice The actor may not do this: not the authority, not the parent's holder, not above the accreditation.
    error NotAuthority(address actor);
    /// @notice A zero address where a party belongs.
    error AddressZero();
    /// @notice Not two upper-case letters, or not registered.
    error CountryInvalid(bytes2 country);
    /// @notice Not one to eight letters or digits, left-aligned.
    error DocTypeInvalid(bytes8 docType);
    /// @notice A level is 1, 2 or 3.
    error LevelInvalid(uint8 level);
    /// @notice The period is empty.
    error PeriodInvalid(uint64 fromBlock, uint64 untilBlock);
    /// @notice The authority is this one already.
    error AuthorityUnchanged(bytes2 country);
    /// @notice No such accreditation.
    error AccreditationUnknown(bytes32 id);
    /// @notice The same accreditation was given before.
    error AccreditationExists(bytes32 id);
    /// @notice The parent (or one above it) is not in force now, or may not sub-accredit.
    error ParentNotInForce(bytes32 id);
    /// @notice The child goes beyond its parent's country, document type, level or period.
    error BeyondParent(bytes32 parent);
    /// @notice The chain would have more than four links.
    error TooDeep();
    /// @notice Revoked already; only a revocation to an earlier block can follow.
    error AlreadyRevoked(bytes32 id);
    /// @notice Suspended already since that block.
    error AlreadySuspended(bytes32 id);
    /// @notice Not suspended, so nothing to reinstate.
    error NotSuspended(bytes32 id);
    /// @notice Sixty-four changes of status: only a revocation can follow.
    error TooManyChanges(bytes32 id);
    /// @notice A country needs no recognition by itself.
    error SelfRecognition(bytes2 country);
    /// @notice There is no recognition to withdraw.
    error NothingToWithdraw();

    /// @notice A country, or a new root authority of it. What the former one gave stands.
    event CountryRegistered(bytes2 indexed country, address authority);
    /// @notice An accreditation was given.
    event Accredited(
        bytes32 indexed id,
        address indexed issuer,
        bytes8 indexed docType,
        bytes2 country,
        uint8 level,
        uint64 fromBlock,
        uint64 untilBlock,
        bytes32 parent,
        bool maySubaccredit,
        address by
    );
    /// @notice Status 1 active, 2 suspended, 3 revoked, from the end of `effectiveBlock` on.
    event AccreditationStatusChanged(
        bytes32 indexed id, uint8 status, uint64 effectiveBlock, uint8 reason, address by
    );
    /// @notice `relying` accepts what `issuing` accredits for `docType` from `minLevel` up.
    event Recognised(
        bytes2 indexed relying,
        bytes2 indexed issuing,
        bytes8 indexed docType,
        uint8 minLevel,
        uint64 fromBlock,
        uint64 untilBlock,
        address by
    );
    /// @notice From `effectiveBlock` on, `relying` no longer recognises `issuing` for `docType`.
    event RecognitionWithdrawn(
        bytes2 indexed relying,
        bytes2 indexed issuing,
        bytes8 indexed docType,
        uint64 effectiveBlock,
        address by
    );

    /// @notice By governance: a country and its root authority, or a new authority for it.
    function registerCountry(bytes2 country, address authority) external;

    /// @notice By the country's authority (`parent` zero) or by the holder of `parent`.
    /// @return id `keccak256(abi.encode(accreditation))`: known before it is sent.
    function accredit(
        address issuer,
        bytes2 country,
        bytes8 docType,
        uint8 level,
        uint64 fromBlock,
        uint64 untilBlock,
        bytes32 parent,
        bool maySubaccredit
    ) external returns (bytes32 id);

    /// @notice By whoever gave it, whoever gave one above it, or the country's present authority.
    function suspend(bytes32 id, uint64 effectiveBlock, uint8 reason) external;

    /// @notice Ends a suspension; by the same.
    function reinstate(bytes32 id, uint64 effectiveBlock, uint8 reason) external;

    /// @notice For ever; by the same. May be repeated only to move it to an earlier block.
    function revoke(bytes32 id, uint64 effectiveBlock, uint8 reason) external;

    /// @notice By the relying country's authority. Takes the place of the former recognition from `fromBlock` on.
    function recognise(
        bytes2 relying,
        bytes2 issuing,
        bytes8 docType,
        uint8 minLevel,
        uint64 fromBlock,
        uint64 untilBlock
    ) external;

    /// @notice By the relying country's authority.
    function withdrawRecognition(bytes2 relying, bytes2 issuing, bytes8 docType, uint64 effectiveBlock)
        external;

    /// @notice Whether `issuer` was authorised for `docType`, for `relying`, at the end of `blockNumber`, by all
    /// that is recorded now. The first accreditation, in the order of recording, that holds makes the chain.
    /// @return authorised The answer.
    /// @return chain Accreditation ids from the issuer's own to the root's; empty if not authorised.
    function isAuthorisedAt(address issuer, bytes8 docType, bytes2 relying, uint64 blockNumber)
        external
        view
        returns (bool authorised, bytes32[] memory chain);

    /// @notice Present root authority of a country; zero: not registered.
    function authorityOf(bytes2 country) external view returns (address);

    /// @notice An accreditation as it was given.
    function accreditation(bytes32 id) external view returns (Accreditation memory);

    /// @notice Account that registers countries; fixed at construction.
    function governance() external view returns (address);
}
