// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {ISignedCalls} from "../src/interfaces/ISignedCalls.sol";
import {Network, Probe} from "./Network.sol";

/// @dev An ERC-1271 actor whose answer is chosen.
contract Wallet {
    bytes public answer = abi.encode(bytes32(bytes4(0x1626ba7e)));
    uint256 public burn;
    bool public fails;

    function set(bytes calldata answer_, uint256 burn_, bool fails_) external {
        (answer, burn, fails) = (answer_, burn_, fails_);
    }

    function isValidSignature(bytes32, bytes calldata signature) external view returns (bytes4) {
        require(keccak256(signature) == keccak256("by the wallet"), "other signature");
        for (uint256 start = gasleft(); start - gasleft() < burn;) {}
        bytes memory copy = answer;
        bool fails_ = fails;
        assembly {
            if fails_ { revert(add(copy, 32), mload(copy)) }
            return(add(copy, 32), mload(copy))
        }
    }
}

/// @dev Actors other than a secp256k1 key: contracts and P-256 keys.
contract SignedCallsSignersTest is Network {
    bytes32 private constant ID = keccak256("request");
    uint256 private constant P256_KEY = 0xB2B;
    bytes32 private constant MAGIC = bytes32(bytes4(0x1626ba7e));
    Wallet private wallet;

    function setUp() public {
        _deployNetwork();
        wallet = new Wallet();
    }

    function test_a_contract_is_an_actor() public {
        signedCalls.execute(_callBy(address(wallet)), "by the wallet");
        vm.assertEq(probe.acts(address(wallet), ID), 1, "acted for the wallet");
    }

    function test_a_contract_that_changed_its_keys_still_gets_duplicate() public {
        signedCalls.execute(_callBy(address(wallet)), "by the wallet");
        wallet.set(abi.encode(bytes32(0)), 0, false);
        vm.expectEmit(address(signedCalls));
        emit ISignedCalls.Duplicate(address(wallet), ID, signedCalls.digestOf(_callBy(address(wallet))), 1);
        signedCalls.execute(_callBy(address(wallet)), "by the wallet");
    }

    function test_only_the_exact_answer_counts() public {
        bytes[6] memory wrong = [
            abi.encode(bytes32(0)),
            abi.encode(bytes32(uint256(uint32(0x1626ba7e)))), // right-aligned
            abi.encode(MAGIC | bytes32(uint256(1))), // dirty
            abi.encodePacked(bytes4(0x1626ba7e)), // short
            abi.encodePacked(bytes31(MAGIC)), // one byte short
            bytes("")
        ];
        for (uint256 i = 0; i < wrong.length; ++i) {
            wallet.set(wrong[i], 0, false);
            _expectNotConsumed(address(wallet), "by the wallet", 1);
        }
        wallet.set(abi.encode(MAGIC), 0, true);
        _expectNotConsumed(address(wallet), "by the wallet", 1);
        wallet.set(abi.encode(MAGIC), 0, false);
        _expectNotConsumed(address(wallet), "by another", 1);
    }

    function test_a_wallets_gas_and_return_data_are_capped() public {
        wallet.set(abi.encode(MAGIC), 600_000, false);
        _expectNotConsumed(address(wallet), "by the wallet", 1);
        wallet.set(abi.encodePacked(MAGIC, new bytes(5_000)), 0, false);
        signedCalls.execute(_callBy(address(wallet)), "by the wallet");
        vm.assertEq(_outcome(address(wallet), ID), 1, "long answer, first word counts");
    }

    /// @dev A relayer who starves the check must not make a good signature look bad.
    function testFuzz_a_starved_check_is_underfunded(uint256 outer) public {
        wallet.set(abi.encode(MAGIC), 300_000, false);
        outer = _bound(outer, 60_000, 1_200_000);
        vm.recordLogs();
        (bool returned,) = address(signedCalls).call{gas: outer}(
            abi.encodeCall(ISignedCalls.execute, (_callBy(address(wallet)), "by the wallet"))
        );
        if (!returned || _outcome(address(wallet), ID) != 0) return;
        vm.assertEq(uint256(bytes32(vm.getRecordedLogs()[0].data)), 4, "underfunded, not a bad signature");
    }

    function test_a_p256_key_is_an_actor() public {
        address keyActor = _p256Actor();
        ISignedCalls.SignedCall memory call_ = _callBy(keyActor);
        signedCalls.execute(call_, _p256Sign(call_));
        vm.snapshotGasLastCall("SignedCalls", "execute by P-256 key");
        vm.assertEq(probe.acts(keyActor, ID), 1, "acted for the key");
    }

    function test_p256_actor_is_the_hash_of_verifier_and_key() public view {
        (uint256 x, uint256 y) = vm.publicKeyP256(P256_KEY);
        bytes memory packed = abi.encodePacked(signedCalls.p256Verifier(), bytes32(x), bytes32(y));
        vm.assertEq(_p256Actor(), address(uint160(uint256(keccak256(packed)))), "address of a key");
    }

    function test_p256_high_s_other_key_and_other_actor_are_refused() public {
        ISignedCalls.SignedCall memory call_ = _callBy(_p256Actor());
        bytes memory good = _p256Sign(call_);
        bytes memory bad = bytes.concat(good);
        (uint256 x, uint256 y) = vm.publicKeyP256(P256_KEY);
        (bytes32 r, bytes32 s) = _lowS(P256_KEY, signedCalls.digestOf(call_));
        _expectNotConsumed(_p256Actor(), abi.encodePacked(x, y, r, bytes32(P256_N - uint256(s))), 1);
        (x, y) = vm.publicKeyP256(0xBAD);
        (r, s) = _lowS(0xBAD, signedCalls.digestOf(call_));
        _expectNotConsumed(_p256Actor(), abi.encodePacked(x, y, r, s), 1);
        _expectNotConsumed(actor, good, 1);
        bad[100] ^= 0x01;
        _expectNotConsumed(_p256Actor(), bad, 1);
        _expectNotConsumed(_p256Actor(), abi.encodePacked(good, uint8(0)), 1);
    }

    function test_p256_check_that_lacks_gas_is_underfunded() public {
        ISignedCalls.SignedCall memory call_ = _callBy(_p256Actor());
        bytes memory signature = _p256Sign(call_);
        vm.expectEmit(address(signedCalls));
        emit ISignedCalls.NotConsumed(call_.actor, ID, 4);
        signedCalls.execute{gas: 700_000}(call_, signature);
    }

    function _p256Actor() private view returns (address) {
        (uint256 x, uint256 y) = vm.publicKeyP256(P256_KEY);
        return signedCalls.p256Actor(bytes32(x), bytes32(y));
    }

    function _p256Sign(ISignedCalls.SignedCall memory call_) private view returns (bytes memory) {
        (uint256 x, uint256 y) = vm.publicKeyP256(P256_KEY);
        (bytes32 r, bytes32 s) = _lowS(P256_KEY, signedCalls.digestOf(call_));
        return abi.encodePacked(x, y, r, s);
    }

    function _lowS(uint256 key, bytes32 digest) private pure returns (bytes32 r, bytes32 s) {
        (r, s) = vm.signP256(key, digest);
        if (uint256(s) > P256_N / 2) s = bytes32(P256_N - uint256(s));
    }

    function _callBy(address who) private view returns (ISignedCalls.SignedCall memory call_) {
        call_ = _call(ID, abi.encodeCall(Probe.act, (ID)));
        call_.actor = who;
    }

    function _expectNotConsumed(address who, bytes memory signature, uint8 why) private {
        vm.expectEmit(address(signedCalls));
        emit ISignedCalls.NotConsumed(who, ID, why);
        signedCalls.execute(_callBy(who), signature);
        vm.assertEq(_outcome(who, ID), 0, "id untouched");
    }
}
