// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @title The one door for authored writes
/// @notice Anybody may relay an author's signed call; whoever relays it cannot change it, repeat it, or make it
/// count as done without having given it the gas its author asked for. Nothing here reverts on a duplicate, a
/// refusal or bad input that decodes: the outcome is an event.
interface ISignedCalls {
    /// @notice What an author signs (EIP-712, domain name "Silkledger SignedCalls", version "1").
    /// @param actor The author: an account, an ERC-1271 contract, or the address of a P-256 key.
    /// @param target Contract to call; listed in the network directory, never this contract.
    /// @param requestId Chosen by the author, unordered; used once per actor.
    /// @param deadline Unix time, seconds: not executed in a block with a later timestamp.
    /// @param gas Gas given to the inner call, exactly.
    /// @param data Calldata of the inner call; the actor's 20 bytes are appended to it (ERC-2771).
    struct SignedCall {
        address actor;
        address target;
        bytes32 requestId;
        uint64 deadline;
        uint64 gas;
        bytes data;
    }

    /// @notice The inner call succeeded. Outcome 1.
    event Executed(address indexed actor, bytes32 indexed requestId, bytes32 digest);
    /// @notice The inner call failed; its id is used up. Outcome 2.
    /// @param reason At most the first 256 bytes of the target's return data.
    event Refused(address indexed actor, bytes32 indexed requestId, bytes32 digest, bytes reason);
    /// @notice The same call was executed or refused before; nothing happened now.
    /// @param firstOutcome 1 executed, 2 refused.
    event Duplicate(address indexed actor, bytes32 indexed requestId, bytes32 digest, uint8 firstOutcome);
    /// @notice The actor signed other content for an id that is used up; nothing happened.
    event Conflict(address indexed actor, bytes32 indexed requestId, bytes32 firstDigest, bytes32 digest);
    /// @notice Nothing happened and the id is still free.
    /// @param why 1 bad signature, 2 expired, 3 forbidden target, 4 underfunded, 5 reentry.
    event NotConsumed(address indexed actor, bytes32 indexed requestId, uint8 why);

    /// @notice Executes `call_` if `signature` is its actor's. Never reverts on input that decodes; an outer gas
    /// limit too small even for reporting runs out of gas and so changes nothing.
    /// @param signature 65 bytes r‖s‖v of the actor's secp256k1 key (low s, v 27 or 28); or 128 bytes x‖y‖r‖s of
    /// a P-256 key (low s) whose actor address is `p256Actor(x, y)`; or whatever the actor's contract takes by ERC-1271.
    function execute(SignedCall calldata call_, bytes calldata signature) external;

    /// @notice What became of an id: digest of the call that used it up (zero: free) and its outcome
    /// (1 executed, 2 refused; 0: free, or its call is running).
    function outcomeOf(address actor, bytes32 requestId) external view returns (bytes32 digest, uint8 outcome);

    /// @notice EIP-712 digest of `call_` on this chain and this contract.
    function digestOf(SignedCall calldata call_) external view returns (bytes32);

    /// @notice The address as which a P-256 key acts: the last 20 bytes of
    /// `keccak256(abi.encodePacked(p256Verifier, x, y))`.
    function p256Actor(bytes32 x, bytes32 y) external view returns (address);

    /// @notice ERC-7913 verifier of P-256 signatures, made with this contract.
    function p256Verifier() external view returns (address);

    /// @notice The directory that lists the permitted targets.
    function directory() external view returns (address);
}
