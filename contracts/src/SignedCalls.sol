// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {INetworkDirectory} from "./interfaces/INetworkDirectory.sol";
import {ISignedCalls} from "./interfaces/ISignedCalls.sol";
import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {IERC7913SignatureVerifier} from "@openzeppelin/contracts/interfaces/IERC7913.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {
    ERC7913P256Verifier
} from "@openzeppelin/contracts/utils/cryptography/verifiers/ERC7913P256Verifier.sol";

/// @title The one door for authored writes
/// @notice Holds no rights and no funds anywhere: what it calls sees the author, never this contract.
contract SignedCalls is ISignedCalls, EIP712 {
    bytes32 private constant TYPE_HASH = keccak256(
        "SignedCall(address actor,address target,bytes32 requestId,uint64 deadline,uint64 gas,bytes data)"
    );

    uint8 private constant EXECUTED = 1;
    uint8 private constant REFUSED = 2;

    uint8 private constant BAD_SIGNATURE = 1;
    uint8 private constant EXPIRED = 2;
    uint8 private constant FORBIDDEN_TARGET = 3;
    uint8 private constant UNDERFUNDED = 4;
    uint8 private constant REENTRY = 5;

    /// @dev Gas for everything around the inner call from the funding check on: three new storage words, the
    /// cold account, the longest event. Measured below 60,000.
    uint256 private constant RESERVE = 80_000;
    /// @dev Gas given to an ERC-1271 check: enough for a multisig of a dozen keys.
    uint256 private constant ERC1271_GAS = 500_000;
    /// @dev Gas given to a P-256 check done in Solidity, where the engine has no precompile for it.
    uint256 private constant P256_GAS = 1_000_000;
    /// @dev Gas to report an outcome after a signature check.
    uint256 private constant REPORT_GAS = 20_000;
    /// @dev Return data kept of a refusal, bytes: more would let a target burn the relayer's gas.
    uint256 private constant MAX_REASON = 256;
    /// @dev Length of a P-256 signature, bytes: x‖y‖r‖s.
    uint256 private constant P256_SIGNATURE_LENGTH = 128;

    struct Record {
        bytes32 digest;
        uint8 outcome;
    }

    /// @inheritdoc ISignedCalls
    address public immutable directory;
    /// @inheritdoc ISignedCalls
    address public immutable p256Verifier;

    mapping(address actor => mapping(bytes32 requestId => Record)) private _records;
    /// @dev 1 outside, 2 while an inner call runs (never back to zero: cheaper, and no refund games).
    uint256 private _running = 1;

    /// @param directory_ The network directory; may be a predicted address.
    constructor(address directory_) EIP712("Silkledger SignedCalls", "1") {
        directory = directory_;
        p256Verifier = address(new ERC7913P256Verifier());
    }

    /// @inheritdoc ISignedCalls
    function execute(SignedCall calldata call_, bytes calldata signature) external {
        (address actor, bytes32 requestId) = (call_.actor, call_.requestId);
        if (_running != 1) {
            emit NotConsumed(actor, requestId, REENTRY);
            return;
        }
        bytes32 digest = digestOf(call_);
        Record storage record = _records[actor][requestId];
        bytes32 first = record.digest;
        // A repeat of what was verified once needs no second verification: an ERC-1271 actor may have changed
        // its keys since, and its relayer must still learn the first outcome.
        if (first == digest) {
            emit Duplicate(actor, requestId, digest, record.outcome);
            return;
        }
        uint8 why = _checkSignature(actor, digest, signature);
        if (why == 0 && first != 0) {
            emit Conflict(actor, requestId, first, digest);
            return;
        }
        if (why == 0 && block.timestamp > call_.deadline) why = EXPIRED;
        if (why == 0 && !_permitted(call_.target)) why = FORBIDDEN_TARGET;
        if (why != 0) {
            emit NotConsumed(actor, requestId, why);
            return;
        }
        _run(call_, digest, record);
    }

    /// @inheritdoc ISignedCalls
    function outcomeOf(address actor, bytes32 requestId)
        external
        view
        returns (bytes32 digest, uint8 outcome)
    {
        Record storage record = _records[actor][requestId];
        return (record.digest, record.outcome);
    }

    /// @inheritdoc ISignedCalls
    function digestOf(SignedCall calldata call_) public view returns (bytes32) {
        return _hashTypedDataV4(
            keccak256(
                abi.encode(
                    TYPE_HASH,
                    call_.actor,
                    call_.target,
                    call_.requestId,
                    call_.deadline,
                    call_.gas,
                    keccak256(call_.data)
                )
            )
        );
    }

    /// @inheritdoc ISignedCalls
    function p256Actor(bytes32 x, bytes32 y) public view returns (address) {
        return address(uint160(uint256(keccak256(abi.encodePacked(p256Verifier, x, y)))));
    }

    /// @dev Consumes the id and makes the inner call. The funding check comes before the id is written: a relayer
    /// who underpays burns nothing. The id is written before the call: nothing the target does can use it twice.
    function _run(SignedCall calldata call_, bytes32 digest, Record storage record) private {
        (address actor, address target, uint256 gasWanted) = (call_.actor, call_.target, call_.gas);
        bytes memory payload = abi.encodePacked(call_.data, actor);
        // EIP-150 keeps back a 64th of what is left: the inner call gets all of `gasWanted` only if this holds.
        if (gasleft() < (gasWanted * 64) / 63 + RESERVE) {
            emit NotConsumed(actor, call_.requestId, UNDERFUNDED);
            return;
        }
        record.digest = digest;
        _running = 2;
        (bool success, bytes memory reason) = _callBounded(target, gasWanted, payload);
        _running = 1;
        if (success) {
            record.outcome = EXECUTED;
            emit Executed(actor, call_.requestId, digest);
        } else {
            record.outcome = REFUSED;
            emit Refused(actor, call_.requestId, digest, reason);
        }
    }

    /// @dev Plain equivalent: `(success, reason) = target.call{gas: gasWanted}(payload)`, but that copies all of
    /// the return data, at our expense, however long the target makes it; this keeps the first 256 bytes.
    function _callBounded(address target, uint256 gasWanted, bytes memory payload)
        private
        returns (bool success, bytes memory reason)
    {
        assembly ("memory-safe") {
            success := call(gasWanted, target, 0, add(payload, 0x20), mload(payload), 0, 0)
            let length := returndatasize()
            if gt(length, MAX_REASON) { length := MAX_REASON }
            reason := mload(0x40)
            mstore(reason, length)
            returndatacopy(add(reason, 0x20), 0, length)
            mstore(0x40, add(reason, and(add(length, 0x3f), not(0x1f))))
        }
    }

    /// @dev A listed contract with code, and never this one.
    function _permitted(address target) private view returns (bool) {
        return
            target != address(this) && target.code.length != 0
                && INetworkDirectory(directory).isListed(target);
    }

    /// @dev 0 if `signature` over `digest` is the actor's, else why it is not (or cannot be told with this gas).
    function _checkSignature(address actor, bytes32 digest, bytes calldata signature)
        private
        view
        returns (uint8 why)
    {
        // (1) secp256k1: ECDSA.tryRecover refuses high s and never gives address zero without an error.
        if (signature.length == 65) {
            (address signer, ECDSA.RecoverError error,) = ECDSA.tryRecover(digest, signature);
            if (error == ECDSA.RecoverError.NoError && signer == actor) return 0;
        }
        // (2) A contract speaks for itself.
        if (actor.code.length != 0) {
            return _checkByContract(
                actor,
                abi.encodeCall(IERC1271.isValidSignature, (digest, signature)),
                IERC1271.isValidSignature.selector,
                ERC1271_GAS
            );
        }
        // (3) A P-256 key acts as the address derived from it.
        if (signature.length != P256_SIGNATURE_LENGTH) return BAD_SIGNATURE;
        if (p256Actor(bytes32(signature[:32]), bytes32(signature[32:64])) != actor) return BAD_SIGNATURE;
        return _checkByContract(
            p256Verifier,
            abi.encodeCall(IERC7913SignatureVerifier.verify, (signature[:64], digest, signature[64:])),
            IERC7913SignatureVerifier.verify.selector,
            P256_GAS
        );
    }

    /// @dev Asks `verifier` with exactly `gasCap`; with less at hand the answer could be a relayer's doing, so it
    /// is "underfunded", not "bad signature". Plain equivalent: `(ok, answer) =
    /// verifier.staticcall{gas: gasCap}(question)`, then compare the answer's only word with the magic value;
    /// but that copies all of the return data, and this reads 32 bytes.
    function _checkByContract(address verifier, bytes memory question, bytes4 magic, uint256 gasCap)
        private
        view
        returns (uint8 why)
    {
        if (gasleft() < (gasCap * 64) / 63 + REPORT_GAS) return UNDERFUNDED;
        bool ok;
        uint256 size;
        bytes32 answer;
        assembly ("memory-safe") {
            ok := staticcall(gasCap, verifier, add(question, 0x20), mload(question), 0, 0x20)
            size := returndatasize()
            answer := mload(0)
        }
        return ok && size >= 32 && answer == bytes32(magic) ? 0 : BAD_SIGNATURE;
    }
}
