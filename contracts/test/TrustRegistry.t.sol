// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {TrustRegistry} from "../src/TrustRegistry.sol";
import {ITrustRegistry} from "../src/interfaces/ITrustRegistry.sol";
import {Base} from "./Base.sol";

contract TrustRegistryTest is Base {
    bytes2 private constant CN = "CN";
    bytes2 private constant TH = "TH";
    bytes8 private constant BILL = "705";
    address private constant GOVERNANCE = address(0x60);
    address private constant CHINA = address(0xC1);
    address private constant THAILAND = address(0x71);
    address private constant AGENCY = address(0xA6);
    address private constant SUB = address(0x5B);

    TrustRegistry private registry;

    function setUp() public {
        vm.roll(100);
        registry = new TrustRegistry(address(0xF0), GOVERNANCE);
        _register(CN, CHINA);
        _register(TH, THAILAND);
    }

    function test_only_governance_registers_countries() public {
        _revertsWith(abi.encodeWithSelector(ITrustRegistry.NotGovernance.selector, address(this)));
        registry.registerCountry("SG", CHINA);
        bytes2[4] memory bad = [bytes2("cn"), bytes2("C"), bytes2("C1"), bytes2(0)];
        for (uint256 i = 0; i < bad.length; ++i) {
            _revertsWith(abi.encodeWithSelector(ITrustRegistry.CountryInvalid.selector, bad[i]));
            _register(bad[i], CHINA);
        }
        _revertsWith(abi.encodeWithSelector(ITrustRegistry.AddressZero.selector));
        _register("SG", address(0));
        _revertsWith(abi.encodeWithSelector(ITrustRegistry.AuthorityUnchanged.selector, CN));
        _register(CN, CHINA);
    }

    function test_authorised_at_home_within_its_period_only() public {
        bytes32 id = _accredit(CHINA, AGENCY, 2, 110, 120, 0, false);
        vm.assertFalse(_authorised(AGENCY, CN, 109), "not yet");
        vm.assertTrue(_authorised(AGENCY, CN, 110), "from its first block");
        vm.assertTrue(_authorised(AGENCY, CN, 119), "to its last");
        vm.assertFalse(_authorised(AGENCY, CN, 120), "not after");
        vm.assertFalse(_authorised(AGENCY, TH, 115), "not recognised abroad");
        vm.assertFalse(_authorised(AGENCY, "XX", 115), "unknown country");
        (, bytes32[] memory chain) = registry.isAuthorisedAt(AGENCY, BILL, CN, 115);
        vm.assertEq(chain.length, 1, "chain of one");
        vm.assertEq(chain[0], id, "its own");
        (bool other,) = registry.isAuthorisedAt(AGENCY, "380", CN, 115);
        vm.assertFalse(other, "another document type");
    }

    function test_id_is_known_before_and_given_once() public {
        bytes32 expected =
            keccak256(abi.encode(AGENCY, CN, BILL, uint8(2), true, uint64(1), uint64(9), bytes32(0), CHINA));
        vm.assertEq(_accredit(CHINA, AGENCY, 2, 1, 9, 0, true), expected, "content is the id");
        _revertsWith(abi.encodeWithSelector(ITrustRegistry.AccreditationExists.selector, expected));
        _accredit(CHINA, AGENCY, 2, 1, 9, 0, true);
    }

    function test_malformed_accreditations_are_refused() public {
        _revertsWith(abi.encodeWithSelector(ITrustRegistry.AddressZero.selector));
        _accredit(CHINA, address(0), 2, 0, 0, 0, true);
        _revertsWith(abi.encodeWithSelector(ITrustRegistry.NotAuthority.selector, THAILAND));
        _accredit(THAILAND, AGENCY, 2, 0, 0, 0, true);
        _revertsWith(abi.encodeWithSelector(ITrustRegistry.LevelInvalid.selector, 0));
        _accredit(CHINA, AGENCY, 0, 0, 0, 0, true);
        _revertsWith(abi.encodeWithSelector(ITrustRegistry.LevelInvalid.selector, 4));
        _accredit(CHINA, AGENCY, 4, 0, 0, 0, true);
        _revertsWith(abi.encodeWithSelector(ITrustRegistry.PeriodInvalid.selector, 9, 9));
        _accredit(CHINA, AGENCY, 1, 9, 9, 0, true);
        _revertsWith(abi.encodeWithSelector(ITrustRegistry.AccreditationUnknown.selector, bytes32("?")));
        _accredit(CHINA, AGENCY, 1, 0, 0, "?", true);
        bytes8[4] memory bad =
            [bytes8(0), bytes8(hex"0037303500000000"), bytes8("70 5"), bytes8(hex"37003500")];
        for (uint256 i = 0; i < bad.length; ++i) {
            _revertsWith(abi.encodeWithSelector(ITrustRegistry.DocTypeInvalid.selector, bad[i]));
            vm.prank(CHINA);
            registry.accredit(AGENCY, CN, bad[i], 1, 0, 0, 0, false);
        }
    }

    function test_a_child_stays_within_its_parent() public {
        bytes32 parent = _accredit(CHINA, AGENCY, 2, 50, 200, 0, true);
        bytes memory beyond = abi.encodeWithSelector(ITrustRegistry.BeyondParent.selector, parent);
        _revertsWith(beyond);
        _accredit(AGENCY, SUB, 3, 50, 200, parent, false); // level
        _revertsWith(beyond);
        _accredit(AGENCY, SUB, 2, 49, 200, parent, false); // begins before
        _revertsWith(beyond);
        _accredit(AGENCY, SUB, 2, 50, 201, parent, false); // ends after
        _revertsWith(beyond);
        _accredit(AGENCY, SUB, 2, 50, 0, parent, false); // never ends
        _revertsWith(beyond);
        vm.prank(AGENCY);
        registry.accredit(SUB, CN, "380", 2, 50, 200, parent, false); // document type
        _revertsWith(beyond);
        vm.prank(AGENCY);
        registry.accredit(SUB, TH, BILL, 2, 50, 200, parent, false); // country
        _revertsWith(abi.encodeWithSelector(ITrustRegistry.NotAuthority.selector, SUB));
        _accredit(SUB, SUB, 2, 50, 200, parent, false); // not the parent's holder
        bytes32 child = _accredit(AGENCY, SUB, 2, 50, 200, parent, false);
        _revertsWith(abi.encodeWithSelector(ITrustRegistry.ParentNotInForce.selector, child));
        _accredit(SUB, AGENCY, 1, 50, 200, child, false); // may not sub-accredit
        (bool holds, bytes32[] memory chain) = registry.isAuthorisedAt(SUB, BILL, CN, 150);
        vm.assertTrue(holds && chain.length == 2 && chain[0] == child && chain[1] == parent, "leaf to root");
    }

    function test_nobody_accredits_under_what_is_not_in_force() public {
        bytes32 parent = _accredit(CHINA, AGENCY, 2, 50, 200, 0, true);
        vm.roll(200);
        _revertsWith(abi.encodeWithSelector(ITrustRegistry.ParentNotInForce.selector, parent));
        _accredit(AGENCY, SUB, 2, 50, 200, parent, false);
        vm.roll(150);
        _suspend(CHINA, parent, 150);
        _revertsWith(abi.encodeWithSelector(ITrustRegistry.ParentNotInForce.selector, parent));
        _accredit(AGENCY, SUB, 2, 50, 200, parent, false);
    }

    function test_chains_have_at_most_four_links() public {
        bytes32 id;
        address by = CHINA;
        for (uint160 i = 1; i <= 4; ++i) {
            id = _accredit(by, address(i), 3, 0, 0, id, true);
            by = address(i);
        }
        (bool holds, bytes32[] memory chain) = registry.isAuthorisedAt(by, BILL, CN, 100);
        vm.assertTrue(holds && chain.length == 4, "four are well");
        _revertsWith(abi.encodeWithSelector(ITrustRegistry.TooDeep.selector));
        _accredit(by, SUB, 3, 0, 0, id, true);
    }

    function test_the_last_recorded_that_has_begun_decides() public {
        bytes32 id = _accredit(CHINA, AGENCY, 2, 0, 0, 0, false);
        _suspend(CHINA, id, 150);
        vm.prank(CHINA);
        registry.reinstate(id, 160, 7);
        vm.assertTrue(_authorised(AGENCY, CN, 149), "before");
        vm.assertFalse(_authorised(AGENCY, CN, 150), "suspended");
        vm.assertTrue(_authorised(AGENCY, CN, 160), "reinstated");
        vm.prank(CHINA);
        registry.revoke(id, 155, 1);
        vm.assertFalse(_authorised(AGENCY, CN, 170), "revoked since 155, for ever");
        vm.assertFalse(_authorised(AGENCY, CN, 152), "still suspended then");
        vm.assertTrue(_authorised(AGENCY, CN, 149), "and good before");
        vm.prank(CHINA);
        registry.revoke(id, 120, 1);
        vm.assertFalse(_authorised(AGENCY, CN, 149), "moved to an earlier block");
        bytes memory error = abi.encodeWithSelector(ITrustRegistry.AlreadyRevoked.selector, id);
        _revertsWith(error);
        vm.prank(CHINA);
        registry.revoke(id, 120, 1);
        _revertsWith(error);
        vm.prank(CHINA);
        registry.reinstate(id, 200, 1);
        _revertsWith(error);
        _suspend(CHINA, id, 200);
    }

    function test_what_happens_to_a_parent_happens_to_its_children() public {
        bytes32 parent = _accredit(CHINA, AGENCY, 2, 0, 0, 0, true);
        _accredit(AGENCY, SUB, 2, 0, 0, parent, false);
        _suspend(CHINA, parent, 150);
        vm.assertTrue(_authorised(SUB, CN, 149), "before");
        vm.assertFalse(_authorised(SUB, CN, 150), "with its parent");
    }

    function test_who_may_suspend() public {
        bytes32 parent = _accredit(CHINA, AGENCY, 2, 0, 0, 0, true);
        bytes32 child = _accredit(AGENCY, SUB, 2, 0, 0, parent, false);
        address[3] memory wrong = [SUB, THAILAND, GOVERNANCE];
        for (uint256 i = 0; i < wrong.length; ++i) {
            _revertsWith(abi.encodeWithSelector(ITrustRegistry.NotAuthority.selector, wrong[i]));
            _suspend(wrong[i], child, 150);
        }
        _revertsWith(abi.encodeWithSelector(ITrustRegistry.NotAuthority.selector, AGENCY));
        _suspend(AGENCY, parent, 150); // not its own
        _suspend(AGENCY, child, 150);
        _suspend(CHINA, child, 151);
        _register(CN, address(0xC2)); // the former authority's key is lost or stolen
        _revertsWith(abi.encodeWithSelector(ITrustRegistry.NotAuthority.selector, CHINA));
        _suspend(CHINA, parent, 152);
        _suspend(address(0xC2), parent, 152);
        vm.assertTrue(_authorised(AGENCY, CN, 151), "what the former authority gave stands");
        _revertsWith(abi.encodeWithSelector(ITrustRegistry.AccreditationUnknown.selector, bytes32("?")));
        _suspend(CHINA, "?", 1);
    }

    function test_changes_are_bounded_but_for_revocation() public {
        bytes32 id = _accredit(CHINA, AGENCY, 2, 0, 0, 0, true);
        for (uint64 i = 0; i < 64; ++i) {
            _suspend(CHINA, id, 1000 + i);
        }
        _revertsWith(abi.encodeWithSelector(ITrustRegistry.TooManyChanges.selector, id));
        _suspend(CHINA, id, 2000);
        vm.prank(CHINA);
        registry.revoke(id, 900, 1);
        vm.assertFalse(_authorised(AGENCY, CN, 900), "revoked");
    }

    function test_recognition_by_period_level_and_withdrawal() public {
        _accredit(CHINA, AGENCY, 2, 0, 0, 0, false);
        _recognise(2, 110, 200);
        vm.assertFalse(_authorised(AGENCY, TH, 109), "not yet");
        vm.assertTrue(_authorised(AGENCY, TH, 110), "recognised");
        vm.assertFalse(_authorised(AGENCY, TH, 200), "ended");
        _recognise(3, 130, 0);
        vm.assertTrue(_authorised(AGENCY, TH, 129), "the former until the new one begins");
        vm.assertFalse(_authorised(AGENCY, TH, 130), "level too low for the new one");
        _recognise(1, 140, 0);
        vm.prank(THAILAND);
        registry.withdrawRecognition(TH, CN, BILL, 150);
        vm.assertTrue(_authorised(AGENCY, TH, 149), "until withdrawn");
        vm.assertFalse(_authorised(AGENCY, TH, 150), "withdrawn");
        _revertsWith(abi.encodeWithSelector(ITrustRegistry.NothingToWithdraw.selector));
        vm.prank(THAILAND);
        registry.withdrawRecognition(TH, CN, BILL, 160);
        vm.assertTrue(_authorised(AGENCY, CN, 150), "home is not touched");
    }

    function test_recognition_is_the_relying_authoritys() public {
        _revertsWith(abi.encodeWithSelector(ITrustRegistry.NotAuthority.selector, CHINA));
        vm.prank(CHINA);
        registry.recognise(TH, CN, BILL, 1, 0, 0);
        _revertsWith(abi.encodeWithSelector(ITrustRegistry.SelfRecognition.selector, TH));
        vm.prank(THAILAND);
        registry.recognise(TH, TH, BILL, 1, 0, 0);
        _revertsWith(abi.encodeWithSelector(ITrustRegistry.CountryInvalid.selector, bytes2("SG")));
        vm.prank(THAILAND);
        registry.recognise(TH, "SG", BILL, 1, 0, 0);
        _revertsWith(abi.encodeWithSelector(ITrustRegistry.NothingToWithdraw.selector));
        vm.prank(THAILAND);
        registry.withdrawRecognition(TH, CN, BILL, 1);
    }

    function test_heads_are_recomputed_from_the_records() public {
        bytes32 key = keccak256(abi.encode("country", CN));
        vm.assertEq(registry.headOf(key), _fold(0, abi.encode(uint8(1), CN, CHINA)), "country");
        bytes32 id = _accredit(CHINA, AGENCY, 2, 5, 0, 0, true);
        bytes memory given = abi.encode(
            uint8(2), id, AGENCY, CN, BILL, uint8(2), uint64(5), uint64(0), bytes32(0), true, CHINA
        );
        key = keccak256(abi.encode("accreditation", AGENCY, BILL));
        vm.assertEq(registry.headOf(key), _fold(0, given), "accreditation");
        _suspend(CHINA, id, 150);
        key = keccak256(abi.encode("status", id));
        bytes memory change = abi.encode(uint8(3), id, uint8(2), uint64(150), uint8(6), CHINA);
        vm.assertEq(registry.headOf(key), _fold(0, change), "status");
        _recognise(2, 110, 200);
        vm.prank(THAILAND);
        registry.withdrawRecognition(TH, CN, BILL, 150);
        key = keccak256(abi.encode("recognition", TH, CN, BILL));
        bytes32 head =
            _fold(0, abi.encode(uint8(4), TH, CN, BILL, uint8(2), uint64(110), uint64(200), THAILAND));
        head = _fold(head, abi.encode(uint8(5), TH, CN, BILL, uint64(150), THAILAND));
        vm.assertEq(registry.headOf(key), head, "recognition and withdrawal");
        vm.assertEq(vm.load(address(registry), keccak256(abi.encode(key, uint256(0)))), head, "slot 0");
    }

    /// @dev A child never outlives, outranks or outlasts what it was given under, whatever its terms.
    function testFuzz_a_child_is_never_authorised_without_its_parent(
        uint64 from,
        uint64 until,
        uint8 level,
        uint64 at
    ) public {
        bytes32 parent = _accredit(CHINA, AGENCY, 2, 50, 200, 0, true);
        vm.prank(AGENCY);
        try registry.accredit(
            SUB, CN, BILL, uint8(_bound(level, 0, 4)), from % 300, until % 300, parent, false
        ) {}
            catch {}
        uint64 blockNumber = at % 300;
        if (_authorised(SUB, CN, blockNumber)) {
            vm.assertTrue(_authorised(AGENCY, CN, blockNumber), "the parent holds there too");
        }
    }

    function _authorised(address issuer, bytes2 relying, uint64 at) private view returns (bool holds) {
        (holds,) = registry.isAuthorisedAt(issuer, BILL, relying, at);
    }

    function _fold(bytes32 head, bytes memory record) private view returns (bytes32) {
        return keccak256(abi.encode(head, uint64(block.number), keccak256(record)));
    }

    function _register(bytes2 country, address authority) private {
        vm.prank(GOVERNANCE);
        registry.registerCountry(country, authority);
    }

    function _accredit(
        address by,
        address issuer,
        uint8 level,
        uint64 from,
        uint64 until,
        bytes32 parent,
        bool sub
    ) private returns (bytes32) {
        vm.prank(by);
        return registry.accredit(issuer, CN, BILL, level, from, until, parent, sub);
    }

    function _suspend(address by, bytes32 id, uint64 effective) private {
        vm.prank(by);
        registry.suspend(id, effective, 6);
    }

    function _recognise(uint8 level, uint64 from, uint64 until) private {
        vm.prank(THAILAND);
        registry.recognise(TH, CN, BILL, level, from, until);
    }
}
