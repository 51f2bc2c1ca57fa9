// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @notice Test only: holds QBFT validators as Besu's contract mode asks for them. Anybody may change them.
contract ValidatorSet {
    /// @dev Slot 0: the length; items at keccak256(0) + i.
    address[] private _validators;

    constructor(address[] memory initial) {
        _validators = initial;
    }

    /// @notice What Besu calls at the end of each block to learn who seals the next.
    function getValidators() external view returns (address[] memory) {
        return _validators;
    }

    /// @notice Puts other validators in the place of all.
    function replaceAll(address[] calldata next) external {
        _validators = next;
    }
}
