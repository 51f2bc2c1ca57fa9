// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Histories} from "./Histories.sol";
import {ITrustRegistry} from "./interfaces/ITrustRegistry.sol";
import {ERC2771Context} from "@openzeppelin/contracts/metatx/ERC2771Context.sol";

/// @title Who may issue what, recognised by whom
contract TrustRegistry is Histories, ITrustRegistry, ERC2771Context {
    uint8 private constant RECORD_COUNTRY = 1;
    uint8 private constant RECORD_ACCREDITATION = 2;
    uint8 private constant RECORD_STATUS = 3;
    uint8 private constant RECORD_RECOGNITION = 4;
    uint8 private constant RECORD_WITHDRAWAL = 5;

    uint8 private constant ACTIVE = 1;
    uint8 private constant SUSPENDED = 2;
    uint8 private constant REVOKED = 3;

    /// @dev Accreditations in one chain, the issuer's own and the root's included.
    uint256 private constant MAX_DEPTH = 4;
    /// @dev Changes of status of one accreditation, but for revocations: bounds the gas of reading it.
    uint256 private constant MAX_CHANGES = 64;

    struct Change {
        uint8 status;
        uint64 effectiveBlock;
    }

    /// @dev A recognition, or (minLevel 0) its withdrawal.
    struct Recognition {
        uint8 minLevel;
        uint64 fromBlock;
        uint64 untilBlock;
    }

    struct Country {
        address authority;
        uint64 sinceBlock;
    }

    /// @inheritdoc ITrustRegistry
    address public immutable governance;

    mapping(bytes2 country => Country) private _countries;
    mapping(bytes32 id => Accreditation) private _accreditations;
    mapping(bytes32 id => Change[]) private _changes;
    /// @dev By history key, so by issuer and document type.
    mapping(bytes32 key => bytes32[] ids) private _held;
    /// @dev By history key, so by relying country, issuing country and document type.
    mapping(bytes32 key => Recognition[]) private _recognitions;

    /// @param forwarder The SignedCalls contract.
    /// @param governance_ Account that registers countries.
    constructor(address forwarder, address governance_) ERC2771Context(forwarder) {
        if (governance_ == address(0)) revert AddressZero();
        governance = governance_;
    }

    /// @inheritdoc ITrustRegistry
    function registerCountry(bytes2 country, address authority) external {
        if (_msgSender() != governance) revert NotGovernance(_msgSender());
        if (!_isCountry(country)) revert CountryInvalid(country);
        if (authority == address(0)) revert AddressZero();
        Country storage known = _countries[country];
        if (known.authority == authority) revert AuthorityUnchanged(country);
        if (known.authority == address(0)) known.sinceBlock = uint64(block.number);
        known.authority = authority;
        _append(keccak256(abi.encode("country", country)), abi.encode(RECORD_COUNTRY, country, authority));
        emit CountryRegistered(country, authority);
    }

    /// @inheritdoc ITrustRegistry
    function accredit(
        address issuer,
        bytes2 country,
        bytes8 docType,
        uint8 level,
        uint64 fromBlock,
        uint64 untilBlock,
        bytes32 parent,
        bool maySubaccredit
    ) external returns (bytes32 id) {
        Accreditation memory given = Accreditation(
            issuer, country, docType, level, maySubaccredit, fromBlock, untilBlock, parent, _msgSender()
        );
        if (issuer == address(0)) revert AddressZero();
        _requireTerms(docType, level, fromBlock, untilBlock);
        if (_countries[country].authority == address(0)) revert CountryInvalid(country);
        if (parent == 0) {
            if (given.by != _countries[country].authority) revert NotAuthority(given.by);
        } else {
            _requireWithinParent(given);
        }
        id = keccak256(abi.encode(given));
        if (_accreditations[id].issuer != address(0)) revert AccreditationExists(id);
        _accreditations[id] = given;
        _recordAccreditation(id, given);
    }

    /// @inheritdoc ITrustRegistry
    function suspend(bytes32 id, uint64 effectiveBlock, uint8 reason) external {
        (uint8 last, uint64 since) = _lastChange(id);
        if (last == REVOKED) revert AlreadyRevoked(id);
        if (last == SUSPENDED && since == effectiveBlock) revert AlreadySuspended(id);
        _change(id, SUSPENDED, effectiveBlock, reason);
    }

    /// @inheritdoc ITrustRegistry
    function reinstate(bytes32 id, uint64 effectiveBlock, uint8 reason) external {
        (uint8 last,) = _lastChange(id);
        if (last == REVOKED) revert AlreadyRevoked(id);
        if (last != SUSPENDED) revert NotSuspended(id);
        _change(id, ACTIVE, effectiveBlock, reason);
    }

    /// @inheritdoc ITrustRegistry
    function revoke(bytes32 id, uint64 effectiveBlock, uint8 reason) external {
        (uint8 last, uint64 since) = _lastChange(id);
        if (last == REVOKED && effectiveBlock >= since) revert AlreadyRevoked(id);
        _change(id, REVOKED, effectiveBlock, reason);
    }

    /// @inheritdoc ITrustRegistry
    function recognise(
        bytes2 relying,
        bytes2 issuing,
        bytes8 docType,
        uint8 minLevel,
        uint64 fromBlock,
        uint64 untilBlock
    ) external {
        address by = _requireRelying(relying, issuing);
        _requireTerms(docType, minLevel, fromBlock, untilBlock);
        bytes32 key = _recognitionKey(relying, issuing, docType);
        _recognitions[key].push(Recognition(minLevel, fromBlock, untilBlock));
        _append(
            key,
            abi.encode(RECORD_RECOGNITION, relying, issuing, docType, minLevel, fromBlock, untilBlock, by)
        );
        emit Recognised(relying, issuing, docType, minLevel, fromBlock, untilBlock, by);
    }

    /// @inheritdoc ITrustRegistry
    function withdrawRecognition(bytes2 relying, bytes2 issuing, bytes8 docType, uint64 effectiveBlock)
        external
    {
        address by = _requireRelying(relying, issuing);
        bytes32 key = _recognitionKey(relying, issuing, docType);
        Recognition[] storage all = _recognitions[key];
        if (all.length == 0) revert NothingToWithdraw();
        Recognition storage last = all[all.length - 1];
        if (last.minLevel == 0 && last.fromBlock <= effectiveBlock) revert NothingToWithdraw();
        all.push(Recognition(0, effectiveBlock, 0));
        _append(key, abi.encode(RECORD_WITHDRAWAL, relying, issuing, docType, effectiveBlock, by));
        emit RecognitionWithdrawn(relying, issuing, docType, effectiveBlock, by);
    }

    /// @inheritdoc ITrustRegistry
    function isAuthorisedAt(address issuer, bytes8 docType, bytes2 relying, uint64 blockNumber)
        external
        view
        returns (bool authorised, bytes32[] memory chain)
    {
        if (_registeredAt(relying, blockNumber)) {
            bytes32[] storage ids = _held[_accreditationKey(issuer, docType)];
            for (uint256 i = 0; i < ids.length; ++i) {
                uint256 depth = _depthInForce(ids[i], blockNumber);
                if (depth != 0 && _acceptedBy(relying, ids[i], blockNumber)) {
                    return (true, _chain(ids[i], depth));
                }
            }
        }
        return (false, new bytes32[](0));
    }

    /// @inheritdoc ITrustRegistry
    function authorityOf(bytes2 country) external view returns (address) {
        return _countries[country].authority;
    }

    /// @inheritdoc ITrustRegistry
    function accreditation(bytes32 id) external view returns (Accreditation memory) {
        if (_accreditations[id].issuer == address(0)) revert AccreditationUnknown(id);
        return _accreditations[id];
    }

    function _recordAccreditation(bytes32 id, Accreditation memory a) private {
        bytes32 key = _accreditationKey(a.issuer, a.docType);
        _held[key].push(id);
        _append(
            key,
            abi.encode(
                RECORD_ACCREDITATION,
                id,
                a.issuer,
                a.country,
                a.docType,
                a.level,
                a.fromBlock,
                a.untilBlock,
                a.parent,
                a.maySubaccredit,
                a.by
            )
        );
        emit Accredited(
            id,
            a.issuer,
            a.docType,
            a.country,
            a.level,
            a.fromBlock,
            a.untilBlock,
            a.parent,
            a.maySubaccredit,
            a.by
        );
    }

    function _change(bytes32 id, uint8 status, uint64 effectiveBlock, uint8 reason) private {
        address by = _msgSender();
        if (!_mayChange(by, id)) revert NotAuthority(by);
        Change[] storage changes = _changes[id];
        if (changes.length >= MAX_CHANGES && status != REVOKED) revert TooManyChanges(id);
        changes.push(Change(status, effectiveBlock));
        _append(
            keccak256(abi.encode("status", id)),
            abi.encode(RECORD_STATUS, id, status, effectiveBlock, reason, by)
        );
        emit AccreditationStatusChanged(id, status, effectiveBlock, reason, by);
    }

    /// @dev The last recorded change: (0, 0) if none.
    function _lastChange(bytes32 id) private view returns (uint8 status, uint64 since) {
        if (_accreditations[id].issuer == address(0)) revert AccreditationUnknown(id);
        Change[] storage changes = _changes[id];
        if (changes.length == 0) return (0, 0);
        Change storage last = changes[changes.length - 1];
        return (last.status, last.effectiveBlock);
    }

    /// @dev Who gave it, who gave one above it, or the country's present authority (a former one may be lost).
    function _mayChange(address actor, bytes32 id) private view returns (bool) {
        if (actor == _countries[_accreditations[id].country].authority) return true;
        while (id != 0) {
            Accreditation storage a = _accreditations[id];
            // A root accreditation given by a former authority is the present one's to change, not the former's.
            if (a.parent != 0 && actor == a.by) return true;
            id = a.parent;
        }
        return false;
    }

    function _requireWithinParent(Accreditation memory child) private view {
        Accreditation storage parent = _accreditations[child.parent];
        if (parent.issuer == address(0)) revert AccreditationUnknown(child.parent);
        if (parent.issuer != child.by) revert NotAuthority(child.by);
        uint256 depth = _depthInForce(child.parent, uint64(block.number));
        if (depth == 0 || !parent.maySubaccredit) revert ParentNotInForce(child.parent);
        if (depth >= MAX_DEPTH) revert TooDeep();
        bool within = parent.country == child.country && parent.docType == child.docType
            && child.level <= parent.level && child.fromBlock >= parent.fromBlock
            && (parent.untilBlock == 0 || (child.untilBlock != 0 && child.untilBlock <= parent.untilBlock));
        if (!within) revert BeyondParent(child.parent);
    }

    /// @dev Links from `id` to its root if each is in force at `blockNumber`; else 0.
    function _depthInForce(bytes32 id, uint64 blockNumber) private view returns (uint256 depth) {
        while (id != 0) {
            Accreditation storage a = _accreditations[id];
            if (blockNumber < a.fromBlock || (a.untilBlock != 0 && blockNumber >= a.untilBlock)) return 0;
            if (!_activeAt(id, blockNumber)) return 0;
            id = a.parent;
            ++depth;
        }
    }

    /// @dev Of the changes that have begun, the last recorded decides; a revocation that has begun, for ever.
    /// Only revocations to earlier blocks follow a revocation, so the last recorded is then one.
    function _activeAt(bytes32 id, uint64 blockNumber) private view returns (bool) {
        Change[] storage changes = _changes[id];
        for (uint256 i = changes.length; i > 0; --i) {
            if (changes[i - 1].effectiveBlock <= blockNumber) return changes[i - 1].status == ACTIVE;
        }
        return true;
    }

    /// @dev At home, or recognised from no higher than its level. Of the recognitions and withdrawals that have
    /// begun, the last recorded decides.
    function _acceptedBy(bytes2 relying, bytes32 id, uint64 blockNumber) private view returns (bool) {
        Accreditation storage a = _accreditations[id];
        if (!_registeredAt(a.country, blockNumber)) return false;
        if (a.country == relying) return true;
        Recognition[] storage all = _recognitions[_recognitionKey(relying, a.country, a.docType)];
        for (uint256 i = all.length; i > 0; --i) {
            Recognition storage r = all[i - 1];
            if (r.fromBlock > blockNumber) continue;
            return
                r.minLevel != 0 && r.minLevel <= a.level && (r.untilBlock == 0 || blockNumber < r.untilBlock);
        }
        return false;
    }

    function _chain(bytes32 id, uint256 depth) private view returns (bytes32[] memory chain) {
        chain = new bytes32[](depth);
        for (uint256 i = 0; i < depth; ++i) {
            chain[i] = id;
            id = _accreditations[id].parent;
        }
    }

    function _registeredAt(bytes2 country, uint64 blockNumber) private view returns (bool) {
        Country storage known = _countries[country];
        return known.authority != address(0) && known.sinceBlock <= blockNumber;
    }

    function _requireRelying(bytes2 relying, bytes2 issuing) private view returns (address by) {
        by = _msgSender();
        if (_countries[relying].authority == address(0)) revert CountryInvalid(relying);
        if (_countries[issuing].authority == address(0)) revert CountryInvalid(issuing);
        if (relying == issuing) revert SelfRecognition(relying);
        if (by != _countries[relying].authority) revert NotAuthority(by);
    }

    function _requireTerms(bytes8 docType, uint8 level, uint64 fromBlock, uint64 untilBlock) private pure {
        if (!_isDocType(docType)) revert DocTypeInvalid(docType);
        if (level < 1 || level > 3) revert LevelInvalid(level);
        if (untilBlock != 0 && untilBlock <= fromBlock) revert PeriodInvalid(fromBlock, untilBlock);
    }

    function _isCountry(bytes2 country) private pure returns (bool) {
        return _isUpper(country[0]) && _isUpper(country[1]);
    }

    function _isDocType(bytes8 docType) private pure returns (bool) {
        bool ended = false;
        for (uint256 i = 0; i < 8; ++i) {
            bytes1 c = docType[i];
            if (c == 0) ended = true;
            else if (ended || !(_isUpper(c) || (c >= "a" && c <= "z") || (c >= "0" && c <= "9"))) return false;
        }
        return docType[0] != 0;
    }

    function _isUpper(bytes1 c) private pure returns (bool) {
        return c >= "A" && c <= "Z";
    }

    function _accreditationKey(address issuer, bytes8 docType) private pure returns (bytes32) {
        return keccak256(abi.encode("accreditation", issuer, docType));
    }

    function _recognitionKey(bytes2 relying, bytes2 issuing, bytes8 docType) private pure returns (bytes32) {
        return keccak256(abi.encode("recognition", relying, issuing, docType));
    }
}
