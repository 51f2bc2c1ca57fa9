// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IdentityRegistry} from "../src/IdentityRegistry.sol";
import {IIdentityRegistry} from "../src/interfaces/IIdentityRegistry.sol";
import {Base, Vm} from "./Base.sol";

/// @dev ERC-1056 behaviour, and for each of its known faults a test that the fault is gone.
contract IdentityRegistryTest is Base {
    uint256 private constant KEY = 0xA11CE;
    bytes32 private constant TYPE = "veriKey";
    bytes32 private constant NAME = "did/pub/Multikey/veriKey";
    bytes32 private constant LIST = keccak256("https://customs.example/status/3");
    address private constant FORWARDER = address(0xF0);
    address private constant DELEGATE = address(0xDE1);
    address private constant NEXT = address(0x2E2);

    IdentityRegistry private registry;
    address private identity;

    function setUp() public {
        vm.chainId(7317);
        vm.warp(1_800_000_000);
        vm.roll(100);
        registry = new IdentityRegistry(FORWARDER);
        identity = vm.addr(KEY);
    }

    function test_an_identity_owns_itself_until_it_says_otherwise() public {
        vm.assertEq(registry.identityOwner(identity), identity, "own owner");
        vm.assertEq(registry.headOf(bytes32(uint256(uint160(identity)))), 0, "nothing recorded");
        vm.expectEmit(address(registry));
        emit IIdentityRegistry.DIDOwnerChanged(identity, NEXT, 0);
        vm.prank(identity);
        registry.changeOwner(identity, NEXT);
        vm.assertEq(registry.identityOwner(identity), NEXT, "new owner");
        vm.assertEq(registry.changed(identity), 100, "last change");
        _revertsWith(abi.encodeWithSelector(IIdentityRegistry.NotOwner.selector, identity, identity));
        vm.prank(identity);
        registry.changeOwner(identity, identity);
        _revertsWith(abi.encodeWithSelector(IIdentityRegistry.OwnerUnchanged.selector, identity));
        vm.prank(NEXT);
        registry.changeOwner(identity, NEXT);
    }

    function test_owner_zero_is_a_tombstone_not_a_reset() public {
        vm.prank(identity);
        registry.changeOwner(identity, address(0));
        vm.assertEq(registry.identityOwner(identity), address(0), "nobody's");
        _revertsWith(abi.encodeWithSelector(IIdentityRegistry.NotOwner.selector, identity, identity));
        vm.prank(identity);
        registry.addDelegate(identity, TYPE, DELEGATE, 1);
        // A failed recovery gives address zero, which must not pass for the owner.
        _revertsWith(abi.encodeWithSelector(IIdentityRegistry.SignatureInvalid.selector, identity));
        registry.changeOwnerSigned(
            identity, 29, bytes32(uint256(1)), bytes32(uint256(1)), NEXT, block.timestamp
        );
    }

    function test_owner_change_ends_delegates_and_attributes_for_stock_resolvers_too() public {
        vm.prank(identity);
        registry.addDelegate(identity, TYPE, DELEGATE, 1000);
        vm.prank(identity);
        registry.setAttribute(identity, NAME, "key", 1000);
        vm.prank(identity);
        registry.setAttribute(identity, NAME, "short", 10);
        vm.warp(block.timestamp + 20);
        vm.roll(105);
        vm.expectEmit(address(registry));
        emit IIdentityRegistry.DIDAttributeChanged(identity, NAME, "key", block.timestamp, 100);
        vm.expectEmit(address(registry));
        emit IIdentityRegistry.DIDDelegateChanged(identity, TYPE, DELEGATE, block.timestamp, 105);
        vm.expectEmit(address(registry));
        emit IIdentityRegistry.DIDOwnerChanged(identity, NEXT, 105);
        vm.prank(identity);
        registry.changeOwner(identity, NEXT);
        vm.assertFalse(registry.validDelegate(identity, TYPE, DELEGATE), "delegate ended");
        _revertsWith(abi.encodeWithSelector(IIdentityRegistry.NothingToRevoke.selector, identity));
        vm.prank(NEXT);
        registry.revokeAttribute(identity, NAME, "key");
    }

    function test_delegates_run_out_and_are_revoked() public {
        vm.prank(identity);
        registry.addDelegate(identity, TYPE, DELEGATE, 10);
        vm.assertTrue(registry.validDelegate(identity, TYPE, DELEGATE), "valid");
        vm.assertFalse(registry.validDelegate(identity, "sigAuth", DELEGATE), "of this type only");
        vm.warp(block.timestamp + 10);
        vm.assertFalse(registry.validDelegate(identity, TYPE, DELEGATE), "not at its end");
        vm.prank(identity);
        registry.addDelegate(identity, TYPE, DELEGATE, type(uint256).max);
        vm.assertTrue(registry.validDelegate(identity, TYPE, DELEGATE), "for ever");
        vm.prank(identity);
        registry.revokeDelegate(identity, TYPE, DELEGATE);
        vm.assertFalse(registry.validDelegate(identity, TYPE, DELEGATE), "revoked");
    }

    function test_bad_input_changes_nothing() public {
        bytes32 key = bytes32(uint256(uint160(identity)));
        _revertsWith(abi.encodeWithSelector(IIdentityRegistry.ValidityZero.selector));
        vm.prank(identity);
        registry.addDelegate(identity, TYPE, DELEGATE, 0);
        _revertsWith(abi.encodeWithSelector(IIdentityRegistry.ValueTooLong.selector, 2049));
        vm.prank(identity);
        registry.setAttribute(identity, NAME, new bytes(2049), 1);
        _revertsWith(abi.encodeWithSelector(IIdentityRegistry.NotOwner.selector, identity, address(this)));
        registry.setAttribute(identity, NAME, "x", 1);
        vm.assertEq(registry.headOf(key), 0, "nothing recorded");
    }

    function test_entries_are_bounded_and_expired_ones_make_room() public {
        for (uint256 i = 0; i < 64; ++i) {
            vm.prank(identity);
            registry.setAttribute(identity, NAME, abi.encode(i), i % 2 == 0 ? 10 : 1000);
        }
        _revertsWith(abi.encodeWithSelector(IIdentityRegistry.TooManyEntries.selector, identity));
        vm.prank(identity);
        registry.setAttribute(identity, NAME, "one more", 10);
        vm.warp(block.timestamp + 10);
        vm.prank(identity);
        registry.setAttribute(identity, NAME, "one more", 10);
        // Positions survived the compaction: every one left can still be found and revoked.
        for (uint256 i = 1; i < 64; i += 2) {
            vm.prank(identity);
            registry.revokeAttribute(identity, NAME, abi.encode(i));
        }
        vm.prank(identity);
        registry.changeOwner(identity, NEXT);
    }

    function test_ownerAt_knows_the_past_and_not_the_future() public {
        vm.roll(110);
        vm.prank(identity);
        registry.changeOwner(identity, NEXT);
        vm.roll(120);
        vm.prank(NEXT);
        registry.changeOwner(identity, address(0));
        vm.assertEq(registry.ownerAt(identity, 0), identity, "before all");
        vm.assertEq(registry.ownerAt(identity, 109), identity, "before the change");
        vm.assertEq(registry.ownerAt(identity, 110), NEXT, "at the end of its block");
        vm.assertEq(registry.ownerAt(identity, 119), NEXT, "until the next");
        vm.assertEq(registry.ownerAt(identity, 120), address(0), "deactivated");
        _revertsWith(abi.encodeWithSelector(IIdentityRegistry.BlockNotReached.selector, 121));
        registry.ownerAt(identity, 121);
    }

    function test_signed_change_works_once_here_only() public {
        uint256 deadline = block.timestamp + 10;
        (uint8 v, bytes32 r, bytes32 s) = _signOwner(KEY, NEXT, 0, deadline);
        vm.chainId(1);
        _expectInvalid(v, r, s, deadline); // another chain
        vm.chainId(7317);
        _expectInvalid(v == 27 ? 28 : 27, r, bytes32(SECP256K1_N - uint256(s)), deadline); // high s
        _expectInvalid(v, r, s, deadline + 1); // another deadline
        vm.warp(deadline + 1);
        _revertsWith(abi.encodeWithSelector(IIdentityRegistry.DeadlinePassed.selector, deadline));
        registry.changeOwnerSigned(identity, v, r, s, NEXT, deadline);
        vm.warp(deadline);
        registry.changeOwnerSigned(identity, v, r, s, NEXT, deadline);
        vm.assertEq(registry.identityOwner(identity), NEXT, "changed");
        vm.assertEq(registry.nonce(identity), 1, "nonce of the identity");
        vm.prank(NEXT);
        registry.changeOwner(identity, identity);
        _expectInvalid(v, r, s, deadline); // once only, also after the identity came back
    }

    /// @dev In ERC-1056 the nonce counts per signer: one owner of two identities blocks itself.
    function test_nonces_count_per_identity() public {
        address other = address(0x0E2);
        vm.prank(other);
        registry.changeOwner(other, identity);
        uint256 deadline = block.timestamp;
        (uint8 v, bytes32 r, bytes32 s) = _signOwner(KEY, NEXT, 0, deadline);
        registry.changeOwnerSigned(identity, v, r, s, NEXT, deadline);
        vm.assertEq(registry.nonce(other), 0, "the other's is untouched");
        _revertsWith(abi.encodeWithSelector(IIdentityRegistry.SignatureInvalid.selector, other));
        registry.changeOwnerSigned(other, v, r, s, NEXT, deadline);
    }

    function test_all_signed_acts() public {
        uint256 end = block.timestamp;
        (uint8 v, bytes32 r, bytes32 s) = _signAct(
            "AddDelegate(address identity,bytes32 delegateType,address delegate,uint256 validity,uint256 nonce,uint256 deadline)",
            abi.encode(identity, TYPE, DELEGATE, uint256(9), uint256(0), end)
        );
        registry.addDelegateSigned(identity, v, r, s, TYPE, DELEGATE, 9, end);
        (v, r, s) = _signAct(
            "RevokeDelegate(address identity,bytes32 delegateType,address delegate,uint256 nonce,uint256 deadline)",
            abi.encode(identity, TYPE, DELEGATE, uint256(1), end)
        );
        registry.revokeDelegateSigned(identity, v, r, s, TYPE, DELEGATE, end);
        (v, r, s) = _signAct(
            "SetAttribute(address identity,bytes32 name,bytes value,uint256 validity,uint256 nonce,uint256 deadline)",
            abi.encode(identity, NAME, keccak256("key"), uint256(9), uint256(2), end)
        );
        registry.setAttributeSigned(identity, v, r, s, NAME, "key", 9, end);
        (v, r, s) = _signAct(
            "RevokeAttribute(address identity,bytes32 name,bytes value,uint256 nonce,uint256 deadline)",
            abi.encode(identity, NAME, keccak256("key"), uint256(3), end)
        );
        registry.revokeAttributeSigned(identity, v, r, s, NAME, "key", end);
        vm.assertEq(registry.nonce(identity), 4, "four acts");
    }

    function test_history_head_is_recomputed_from_the_records() public {
        bytes32 key = bytes32(uint256(uint160(identity)));
        uint64 end = uint64(block.timestamp + 50);
        vm.prank(identity);
        registry.addDelegate(identity, TYPE, DELEGATE, 50);
        vm.prank(identity);
        registry.setAttribute(identity, NAME, "key", 50);
        vm.roll(101);
        vm.prank(identity);
        registry.changeOwner(identity, NEXT);
        bytes32 head = _fold(0, 100, abi.encode(uint8(2), TYPE, DELEGATE, end));
        head = _fold(head, 100, abi.encode(uint8(3), NAME, bytes("key"), end));
        // The change of owner ends both, the last first, and then takes effect.
        uint64 now_ = uint64(block.timestamp);
        head = _fold(head, 101, abi.encode(uint8(3), NAME, bytes("key"), now_));
        head = _fold(head, 101, abi.encode(uint8(2), TYPE, DELEGATE, now_));
        head = _fold(head, 101, abi.encode(uint8(1), NEXT));
        vm.assertEq(registry.headOf(key), head, "head");
        vm.assertEq(vm.load(address(registry), keccak256(abi.encode(key, uint256(0)))), head, "slot 0");
    }

    function test_a_number_of_a_status_list_is_given_once_and_in_order() public {
        bytes32 key = keccak256(abi.encode("status list", identity, LIST));
        vm.expectEmit(address(registry));
        emit IIdentityRegistry.StatusListPublished(identity, LIST, 0, "first");
        vm.prank(identity);
        registry.publishStatusList(identity, LIST, 0, "first");
        bytes32 head = _fold(0, 100, abi.encode(uint8(4), uint64(0), bytes32("first")));
        vm.assertEq(registry.headOf(key), head, "recorded");
        _listRefused(abi.encodeWithSelector(IIdentityRegistry.SequenceNotNext.selector, 1), 0, "other");
        _listRefused(abi.encodeWithSelector(IIdentityRegistry.SequenceNotNext.selector, 1), 0, "first");
        _listRefused(abi.encodeWithSelector(IIdentityRegistry.SequenceNotNext.selector, 1), 2, "third");
        _listRefused(abi.encodeWithSelector(IIdentityRegistry.DigestZero.selector), 1, 0);
        vm.assertEq(registry.headOf(key), head, "nothing more");
        vm.prank(identity);
        registry.publishStatusList(identity, LIST, 1, "second");
        head = _fold(head, 100, abi.encode(uint8(4), uint64(1), bytes32("second")));
        vm.assertEq(registry.headOf(key), head, "second");
        vm.assertEq(registry.statusListCount(identity, LIST), 2, "two");
        vm.assertEq(registry.statusListCount(identity, "another"), 0, "another series");
        vm.assertEq(registry.headOf(bytes32(uint256(uint160(identity)))), 0, "not the identity's history");
        vm.assertEq(registry.changed(identity), 0, "no change of the DID document");
    }

    function test_status_lists_are_the_owners_and_stay_through_a_change() public {
        vm.prank(identity);
        registry.publishStatusList(identity, LIST, 0, "first");
        vm.prank(identity);
        registry.changeOwner(identity, NEXT);
        _listRefused(
            abi.encodeWithSelector(IIdentityRegistry.NotOwner.selector, identity, identity), 1, "second"
        );
        vm.prank(NEXT);
        registry.publishStatusList(identity, LIST, 1, "second");
        vm.assertEq(registry.statusListCount(identity, LIST), 2, "goes on");
        vm.prank(NEXT);
        registry.changeOwner(identity, address(0));
        _listRefused(abi.encodeWithSelector(IIdentityRegistry.NotOwner.selector, identity, identity), 2, "x");
    }

    function _listRefused(bytes memory why, uint64 sequence, bytes32 digest) private {
        _revertsWith(why);
        vm.prank(identity);
        registry.publishStatusList(identity, LIST, sequence, digest);
    }

    function testFuzz_the_suffix_counts_from_the_forwarder_only(address sender) public {
        vm.assume(sender != FORWARDER && sender != identity);
        bytes memory data =
            abi.encodePacked(abi.encodeCall(IIdentityRegistry.changeOwner, (identity, NEXT)), identity);
        vm.prank(sender);
        (bool returned,) = address(registry).call(data);
        vm.assertFalse(returned, "a stranger's suffix is noise");
        vm.prank(FORWARDER);
        (returned,) = address(registry).call(data);
        vm.assertTrue(returned, "the forwarder's is the actor");
    }

    function _fold(bytes32 head, uint64 number, bytes memory record) private pure returns (bytes32) {
        return keccak256(abi.encode(head, number, keccak256(record)));
    }

    function _expectInvalid(uint8 v, bytes32 r, bytes32 s, uint256 deadline) private {
        _revertsWith(abi.encodeWithSelector(IIdentityRegistry.SignatureInvalid.selector, identity));
        registry.changeOwnerSigned(identity, v, r, s, NEXT, deadline);
    }

    function _signOwner(uint256 key, address owner, uint256 nonce, uint256 deadline)
        private
        view
        returns (uint8, bytes32, bytes32)
    {
        bytes32 typeHash =
            keccak256("ChangeOwner(address identity,address newOwner,uint256 nonce,uint256 deadline)");
        return vm.sign(key, _digest(abi.encode(typeHash, identity, owner, nonce, deadline)));
    }

    function _signAct(string memory typeName, bytes memory fields)
        private
        view
        returns (uint8, bytes32, bytes32)
    {
        return vm.sign(KEY, _digest(abi.encodePacked(keccak256(bytes(typeName)), fields)));
    }

    function _digest(bytes memory content) private view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("Silkledger IdentityRegistry"),
                keccak256("1"),
                block.chainid,
                address(registry)
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, keccak256(content)));
    }
}
