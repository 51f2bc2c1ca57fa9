// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {SignedCalls} from "../src/SignedCalls.sol";
import {ISignedCalls} from "../src/interfaces/ISignedCalls.sol";
import {Network, Probe} from "./Network.sol";

contract SignedCallsTest is Network {
    bytes32 private constant ID = keccak256("request");

    function setUp() public {
        _deployNetwork();
    }

    function test_executes_once_in_the_authors_name() public {
        ISignedCalls.SignedCall memory call_ = _act(ID);
        bytes memory signature = _signed(call_);
        vm.expectEmit(address(signedCalls));
        emit ISignedCalls.Executed(actor, ID, signedCalls.digestOf(call_));
        signedCalls.execute(call_, signature);
        vm.snapshotGasLastCall("SignedCalls", "execute");
        vm.assertEq(probe.acts(actor, ID), 1, "acted for the author");
        vm.assertEq(probe.dataSeen(), abi.encodePacked(call_.data, actor), "ERC-2771 suffix");
        (bytes32 digest, uint8 outcome) = signedCalls.outcomeOf(actor, ID);
        vm.assertEq(digest, signedCalls.digestOf(call_), "digest kept");
        vm.assertEq(outcome, 1, "executed");
    }

    function test_digest_is_EIP712_of_this_chain_and_contract() public view {
        ISignedCalls.SignedCall memory call_ = _act(ID);
        bytes32 domain = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("Silkledger SignedCalls"),
                keccak256("1"),
                uint256(7317),
                address(signedCalls)
            )
        );
        bytes32 content = keccak256(
            abi.encode(
                keccak256(
                    "SignedCall(address actor,address target,bytes32 requestId,uint64 deadline,uint64 gas,bytes data)"
                ),
                call_.actor,
                call_.target,
                call_.requestId,
                call_.deadline,
                call_.gas,
                keccak256(call_.data)
            )
        );
        bytes32 expected = keccak256(abi.encodePacked(hex"1901", domain, content));
        vm.assertEq(signedCalls.digestOf(call_), expected, "digest");
    }

    function test_repeat_is_a_duplicate_with_the_first_outcome() public {
        ISignedCalls.SignedCall memory call_ = _act(ID);
        bytes memory signature = _signed(call_);
        signedCalls.execute(call_, signature);
        vm.warp(call_.deadline + 1); // also long after its deadline
        vm.expectEmit(address(signedCalls));
        emit ISignedCalls.Duplicate(actor, ID, signedCalls.digestOf(call_), 1);
        signedCalls.execute(call_, signature);
        vm.snapshotGasLastCall("SignedCalls", "duplicate");
        vm.assertEq(probe.acts(actor, ID), 1, "once");
    }

    function test_repeat_of_a_refusal_is_a_duplicate_too() public {
        ISignedCalls.SignedCall memory call_ = _call(ID, abi.encodeCall(Probe.refuse, (7)));
        bytes memory signature = _signed(call_);
        vm.expectEmit(address(signedCalls));
        emit ISignedCalls.Refused(
            actor, ID, signedCalls.digestOf(call_), abi.encodeWithSelector(Probe.Refusing.selector, 7)
        );
        signedCalls.execute(call_, signature);
        vm.expectEmit(address(signedCalls));
        emit ISignedCalls.Duplicate(actor, ID, signedCalls.digestOf(call_), 2);
        signedCalls.execute(call_, signature);
    }

    function test_same_id_with_other_content_is_a_conflict() public {
        ISignedCalls.SignedCall memory first = _act(ID);
        signedCalls.execute(first, _signed(first));
        ISignedCalls.SignedCall memory second = _call(ID, abi.encodeCall(Probe.act, (keccak256("other"))));
        bytes memory signature = _signed(second);
        vm.expectEmit(address(signedCalls));
        emit ISignedCalls.Conflict(actor, ID, signedCalls.digestOf(first), signedCalls.digestOf(second));
        signedCalls.execute(second, signature);
        vm.assertEq(probe.acts(actor, keccak256("other")), 0, "not executed");
        vm.assertEq(_outcome(actor, ID), 1, "first outcome stands");
    }

    function test_a_stranger_cannot_cause_a_conflict() public {
        ISignedCalls.SignedCall memory first = _act(ID);
        signedCalls.execute(first, _signed(first));
        ISignedCalls.SignedCall memory second = _call(ID, "other");
        _expectNotConsumed(second, _sign(0xBAD, signedCalls.digestOf(second)), 1);
    }

    function test_ids_are_per_actor_and_unordered() public {
        ISignedCalls.SignedCall memory call_ = _act(ID);
        signedCalls.execute(call_, _signed(call_));
        call_.actor = vm.addr(0xB0B);
        signedCalls.execute(call_, _sign(0xB0B, signedCalls.digestOf(call_)));
        vm.assertEq(probe.acts(vm.addr(0xB0B), ID), 1, "the other's own id");
    }

    function test_no_replay_on_another_chain_or_contract() public {
        ISignedCalls.SignedCall memory call_ = _act(ID);
        bytes memory signature = _signed(call_);
        vm.chainId(7318);
        _expectNotConsumed(call_, signature, 1);
        vm.chainId(7317);
        SignedCalls twin = new SignedCalls(address(directory));
        vm.expectEmit(address(twin));
        emit ISignedCalls.NotConsumed(actor, ID, 1);
        twin.execute(call_, signature);
        signedCalls.execute(call_, signature);
        vm.assertEq(_outcome(actor, ID), 1, "still good where it was signed for");
    }

    function test_no_high_s() public {
        ISignedCalls.SignedCall memory call_ = _act(ID);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(KEY, signedCalls.digestOf(call_));
        bytes memory high = abi.encodePacked(r, bytes32(SECP256K1_N - uint256(s)), v == 27 ? uint8(28) : 27);
        _expectNotConsumed(call_, high, 1);
    }

    function test_nobody_acts_as_address_zero() public {
        ISignedCalls.SignedCall memory call_ = _act(ID);
        call_.actor = address(0);
        _expectNotConsumed(call_, new bytes(65), 1);
        _expectNotConsumed(call_, abi.encodePacked(bytes32(uint256(1)), bytes32(uint256(1)), uint8(29)), 1);
    }

    function testFuzz_no_signature_but_the_authors(bytes calldata signature) public {
        _expectNotConsumed(_act(ID), signature, 1);
    }

    function testFuzz_every_field_is_signed(uint8 field, uint64 change) public {
        vm.assume(change != 0);
        ISignedCalls.SignedCall memory call_ = _act(ID);
        bytes memory signature = _signed(call_);
        field = uint8(field % 6);
        if (field == 0) call_.actor = address(uint160(actor) ^ change);
        if (field == 1) call_.target = address(uint160(call_.target) ^ change);
        if (field == 2) call_.requestId = bytes32(uint256(ID) ^ change);
        if (field == 3) call_.deadline ^= change;
        if (field == 4) call_.gas ^= change;
        if (field == 5) call_.data = abi.encodePacked(call_.data, change);
        _expectNotConsumed(call_, signature, 1);
    }

    function test_expired_consumes_nothing() public {
        ISignedCalls.SignedCall memory call_ = _act(ID);
        call_.deadline = uint64(block.timestamp - 1);
        _expectNotConsumed(call_, _signed(call_), 2);
        call_.deadline = uint64(block.timestamp); // the last second in which it is valid
        signedCalls.execute(call_, _signed(call_));
        vm.assertEq(_outcome(actor, ID), 1, "executed at its deadline");
    }

    function test_only_listed_contracts_and_never_itself() public {
        ISignedCalls.SignedCall memory call_ = _act(ID);
        address[4] memory forbidden =
            [address(signedCalls), address(directory), address(new Probe(address(signedCalls))), actor];
        for (uint256 i = 0; i < forbidden.length; ++i) {
            call_.target = forbidden[i];
            _expectNotConsumed(call_, _signed(call_), 3);
        }
    }

    function test_underfunded_consumes_nothing_and_works_later() public {
        ISignedCalls.SignedCall memory call_ = _act(ID);
        call_.gas = 1_000_000;
        bytes memory signature = _signed(call_);
        vm.expectEmit(address(signedCalls));
        emit ISignedCalls.NotConsumed(actor, ID, 4);
        signedCalls.execute{gas: 500_000}(call_, signature);
        (bytes32 digest,) = signedCalls.outcomeOf(actor, ID);
        vm.assertEq(digest, 0, "id is free");
        signedCalls.execute(call_, signature);
        vm.assertEq(_outcome(actor, ID), 1, "executed with enough gas");
    }

    /// @dev Whatever gas a relayer sends: either the inner call had all its gas, or the id is still free.
    function testFuzz_no_gas_value_burns_an_id(uint256 outer, uint64 inner, bool refusing) public {
        ISignedCalls.SignedCall memory call_ = refusing ? _call(ID, abi.encodeCall(Probe.spin, ())) : _act(ID);
        call_.gas = uint64(_bound(inner, 120_000, 600_000));
        bytes memory signature = _signed(call_);
        outer = _bound(outer, 21_000, 900_000);
        (bool returned,) =
            address(signedCalls).call{gas: outer}(abi.encodeCall(ISignedCalls.execute, (call_, signature)));
        (bytes32 digest, uint8 outcome) = signedCalls.outcomeOf(actor, ID);
        if (digest == 0) {
            vm.assertEq(probe.acts(actor, ID), 0, "free means not executed");
            return;
        }
        vm.assertTrue(returned, "consumed, so reported");
        vm.assertTrue(outer > call_.gas, "consumed only with more than the inner gas");
        vm.assertEq(outcome, refusing ? 2 : 1, "consumed with its own outcome");
        // Not more than the dispatch may be missing from what the author asked for.
        if (!refusing) vm.assertTrue(probe.gasSeen() + 1_000 > call_.gas, "the inner call had all its gas");
    }

    /// @dev The gas values around the threshold one by one, with the longest reason to report afterwards.
    function test_gas_threshold_step_by_step() public {
        ISignedCalls.SignedCall memory call_ = _call(ID, abi.encodeCall(Probe.bomb, (1_000)));
        call_.gas = 100_000;
        bytes memory input = abi.encodeCall(ISignedCalls.execute, (call_, _signed(call_)));
        uint256 outer = 150_000;
        bytes32 digest;
        for (; digest == 0; outer += 25) {
            (bool returned,) = address(signedCalls).call{gas: outer}(input);
            vm.assertTrue(returned, "reports, never reverts");
            (digest,) = signedCalls.outcomeOf(actor, ID);
        }
        vm.assertEq(_outcome(actor, ID), 2, "refused by its target, not for lack of gas");
        vm.assertTrue(outer < 230_000, "the reserve is not extravagant");
    }

    function test_return_bomb_costs_its_own_gas_only() public {
        ISignedCalls.SignedCall memory call_ = _call(ID, abi.encodeCall(Probe.bomb, (100_000)));
        bytes memory signature = _signed(call_);
        vm.expectEmit(address(signedCalls));
        emit ISignedCalls.Refused(actor, ID, signedCalls.digestOf(call_), new bytes(256));
        uint256 before = gasleft();
        signedCalls.execute(call_, signature);
        vm.assertTrue(before - gasleft() < 200_000, "256 bytes copied, not 100,000");
    }

    function testFuzz_reason_is_cut_at_256_bytes(uint16 size) public {
        ISignedCalls.SignedCall memory call_ = _call(ID, abi.encodeCall(Probe.bomb, (size)));
        bytes memory signature = _signed(call_);
        vm.expectEmit(address(signedCalls));
        emit ISignedCalls.Refused(actor, ID, signedCalls.digestOf(call_), new bytes(size > 256 ? 256 : size));
        signedCalls.execute(call_, signature);
    }

    function test_reentry_emits_and_consumes_nothing() public {
        ISignedCalls.SignedCall memory inner = _act(keccak256("inner"));
        bytes memory data = abi.encodeCall(Probe.reenter, (inner, _signed(inner)));
        ISignedCalls.SignedCall memory outer = _call(ID, data);
        bytes memory signature = _signed(outer);
        vm.expectEmit(address(signedCalls));
        emit ISignedCalls.NotConsumed(actor, inner.requestId, 5);
        vm.expectEmit(address(signedCalls));
        emit ISignedCalls.Executed(actor, ID, signedCalls.digestOf(outer));
        signedCalls.execute(outer, signature);
        vm.assertEq(probe.acts(actor, inner.requestId), 0, "nested call did not run");
        signedCalls.execute(inner, _signed(inner));
        vm.assertEq(probe.acts(actor, inner.requestId), 1, "and can run later");
    }

    function _act(bytes32 requestId) private view returns (ISignedCalls.SignedCall memory) {
        return _call(requestId, abi.encodeCall(Probe.act, (requestId)));
    }

    function _expectNotConsumed(ISignedCalls.SignedCall memory call_, bytes memory signature, uint8 why)
        private
    {
        (bytes32 before,) = signedCalls.outcomeOf(call_.actor, call_.requestId);
        vm.expectEmit(address(signedCalls));
        emit ISignedCalls.NotConsumed(call_.actor, call_.requestId, why);
        signedCalls.execute(call_, signature);
        (bytes32 digest,) = signedCalls.outcomeOf(call_.actor, call_.requestId);
        vm.assertEq(digest, before, "id untouched");
    }
}
