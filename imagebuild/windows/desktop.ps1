# desktop.ps1 - dot-sourced after the prelude by Set-Desktop and Get-Inventory: the table of what makes a Windows a well-behaved master for virtual
# desktops, each item with why it is there and its settings, and how a setting is read. Changes nothing. PowerShell 2.0 and later; ASCII only.

$Control = 'HKLM:\SYSTEM\CurrentControlSet\Control'
$Policies = 'HKLM:\SOFTWARE\Policies\Microsoft'
$Tasks = '\Microsoft\Windows'
$Schemes = "$Control\Power\User\PowerSchemes"
$HighPerformance = '8c5e7fda-e8bf-4a96-9a85-a6e23a8c635c'
$BootManager = 'HKLM:\BCD00000000\Objects\{9dea862c-5cdd-4e70-acc1-f32b344d4795}\Elements\23000003'        # its 'Element' names the default boot entry

function New-RegistrySetting([string]$Path, [string]$Name, $Value, [string]$Type = 'DWord') { @{ kind = 'registry'; id = $Name; path = $Path; name = $Name; wanted = @($Value); type = $Type } }
function New-ServiceSetting([string]$Name, [int]$Start) { @{ kind = 'service'; id = $Name; path = "HKLM:\SYSTEM\CurrentControlSet\Services\$Name"; name = 'Start'; wanted = @($Start) } }
function New-TaskSetting([string]$Path) { @{ kind = 'task'; id = $Path; path = $Path; wanted = @($false) } }
function New-PowerSetting([string]$Id, [string]$Group, [string]$Setting, [int]$Value) { @{ kind = 'power'; id = $Id; path = "$Group\$Setting"; name = 'ACSettingIndex'; wanted = @($Value); commands = @(, @('powercfg.exe', '-setacvalueindex', 'SCHEME_CURRENT', $Group, $Setting, [string]$Value)) + @(, @('powercfg.exe', '-setactive', 'SCHEME_CURRENT')) } }
function New-ProgramSetting([string]$Path, [string]$Name, [object[]]$Wanted, [object[]]$Commands, [string]$Id = $Name) { @{ kind = 'program'; id = $Id; path = $Path; name = $Name; wanted = $Wanted; commands = $Commands } }
function New-BootSetting([string]$Name, [string]$Element, [int]$Value, [string]$Text) { @{ kind = 'boot'; id = $Name; path = $Element; name = 'Element'; wanted = @($Value); commands = @(, @('bcdedit.exe', '/set', '{default}', $Name, $Text)) } }

function Get-ItemTable($TimeServers) {
    $list = @(
        @{ name = 'power_plan'; why = 'High performance: a virtual machine saves nothing by throttling itself'
           settings = @(New-ProgramSetting $Schemes 'ActivePowerScheme' @($HighPerformance) @(@('powercfg.exe', '-setactive', $HighPerformance), @('powercfg.exe', '-duplicatescheme', $HighPerformance, $HighPerformance), @('powercfg.exe', '-setactive', $HighPerformance))) }
        @{ name = 'never_sleep'; why = 'a sleeping or dark clone looks dead to the broker'
           settings = @((New-PowerSetting 'monitor_timeout' '7516b95f-f776-4464-8c53-06167f40cc99' '3c0bc021-c8a8-4e07-a973-6b14cbcb2b7e' 0), (New-PowerSetting 'standby_timeout' '238c9fa8-0aad-41ed-83f4-97be242c8f20' '29f6c1db-86da-48c5-9fdb-f2b67b1f44da' 0), (New-PowerSetting 'disk_timeout' '0012ee47-9041-4b5d-9535-535fba8b1442' '6738e2c4-e8a5-4a42-b16a-e040e769756e' 0)) }
        @{ name = 'power_button'; why = 'the ACPI button is how OpenStack stops a machine: it must shut down, also at the logon screen and with users logged on'
           settings = @((New-PowerSetting 'power_button_action' '4f971e89-eebd-4455-a8de-9e59040e7347' '7648efa3-dd9c-4e3e-b566-50f929386280' 3), (New-RegistrySetting 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System' 'shutdownwithoutlogon' 1), (New-RegistrySetting 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Windows' 'ShutdownWarningDialogTimeout' 1)) }
        @{ name = 'no_hibernation'; why = 'hiberfil.sys swells the image, and fast startup resumes an old kernel instead of booting'
           settings = @((New-ProgramSetting "$Control\Power" 'HibernateEnabled' @(0, $null) @(, @('powercfg.exe', '-h', 'off'))), (New-RegistrySetting "$Control\Session Manager\Power" 'HiberbootEnabled' 0)) }
        @{ name = 'time_service'; why = 'outside a domain W32Time starts only now and then; Kerberos refuses clocks five minutes apart'
           settings = @((New-ServiceSetting 'W32Time' 2), (New-ProgramSetting 'HKLM:\SYSTEM\CurrentControlSet\Services\W32Time\TriggerInfo\0' 'Type' @(2) @(, @('sc.exe', 'triggerinfo', 'w32time', 'start/networkon', 'stop/networkoff')) 'trigger')) }      # 2: when the network comes; the default 3: when in a domain
        @{ name = 'no_automatic_updates'; why = 'clones get their updates with the next image, not each for itself; searching by program still works'
           settings = @(New-RegistrySetting "$Policies\Windows\WindowsUpdate\AU" 'NoAutoUpdate' 1) }
        @{ name = 'no_store_updates'; why = 'an app updated for one user only makes sysprep fail (0x80073CF2)'
           settings = @((New-RegistrySetting 'HKLM:\SOFTWARE\Policies\Microsoft\WindowsStore' 'AutoDownload' 2), (New-RegistrySetting "$Policies\Windows\CloudContent" 'DisableWindowsConsumerFeatures' 1)) }
        @{ name = 'no_vendor_updaters'; why = 'Edge, Chrome and Office would update each clone at each boot'
           settings = @((New-RegistrySetting "$Policies\EdgeUpdate" 'UpdateDefault' 0), (New-RegistrySetting 'HKLM:\SOFTWARE\Policies\Google\Update' 'UpdateDefault' 0), (New-RegistrySetting "$Policies\Office\16.0\Common\OfficeUpdate" 'EnableAutomaticUpdates' 0)) }
        @{ name = 'no_scheduled_defrag'; why = 'a hundred clones defragmenting at night rewrite the storage below them'
           settings = @(New-TaskSetting "$Tasks\Defrag\ScheduledDefrag") }
        @{ name = 'no_background_tasks'; why = 'telemetry, maps, self-assessment and registry copies cost each clone and serve none'
           settings = @('Customer Experience Improvement Program\Consolidator', 'Customer Experience Improvement Program\UsbCeip', 'Application Experience\Microsoft Compatibility Appraiser', 'Application Experience\ProgramDataUpdater', 'Maps\MapsToastTask', 'Maps\MapsUpdateTask',
               'Maintenance\WinSAT', 'Registry\RegIdleBackup', 'SystemRestore\SR', 'Windows Error Reporting\QueueReporting', 'PI\Sqm-Tasks', 'RecoveryEnvironment\VerifyWinRE' | ForEach-Object { New-TaskSetting "$Tasks\$_" }) }
        @{ name = 'no_needless_services'; why = 'in the lists of Microsoft (VDOT), Citrix and Omnissa alike; nothing that sysprep, the IME or updates need'
           settings = @('autotimesvc', 'BcastDVRUserService', 'DiagSvc', 'DiagTrack', 'DusmSvc', 'icssvc', 'lfsvc', 'MapsBroker', 'MessagingService', 'RmSvc', 'SEMgrSvc', 'SmsRouter', 'SysMain', 'WerSvc', 'XblAuthManager', 'XblGameSave', 'XboxGipSvc', 'XboxNetApiSvc' | ForEach-Object { New-ServiceSetting $_ 4 }) }
        @{ name = 'no_system_restore'; why = 'a clone is restored by replacing it'
           settings = @(New-RegistrySetting "$Policies\Windows NT\SystemRestore" 'DisableSR' 1) }
        @{ name = 'no_last_access_times'; why = 'reading a file should not write to the disk'
           settings = @(New-ProgramSetting "$Control\FileSystem" 'NtfsDisableLastAccessUpdate' @(1, -2147483647) @(, @('fsutil.exe', 'behavior', 'set', 'disablelastaccess', '1'))) }      # 0x80000001 from Windows 10 1803 on
        @{ name = 'small_crash_dumps'; why = 'a full dump is as large as the memory; reboot instead of waiting at a blue screen'
           settings = @((New-RegistrySetting "$Control\CrashControl" 'CrashDumpEnabled' 3), (New-RegistrySetting "$Control\CrashControl" 'AutoReboot' 1)) }
        @{ name = 'no_boot_recovery'; why = 'after a hard stop a clone must boot, not wait in the recovery menu'
           settings = @((New-BootSetting 'bootstatuspolicy' '250000e0' 1 'ignoreallfailures'), (New-BootSetting 'recoveryenabled' '16000009' 0 'No')) }
        @{ name = 'no_first_logon_animation'; why = 'saves each new user a minute'
           settings = @(New-RegistrySetting 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System' 'EnableFirstLogonAnimation' 0) })
    if ($TimeServers) {
        $peers = @($TimeServers | ForEach-Object { if ($_ -notmatch '^[A-Za-z0-9][A-Za-z0-9.:-]*\z') { throw "parameter 'time_servers' has '$_': not a host name or address" }; "$_,0x8" }) -join ' '
        $list += @{ name = 'time_source'; why = 'time from the named servers until a domain takes over'
                    settings = @((New-RegistrySetting 'HKLM:\SYSTEM\CurrentControlSet\Services\W32Time\Parameters' 'NtpServer' $peers 'String'), (New-RegistrySetting 'HKLM:\SYSTEM\CurrentControlSet\Services\W32Time\Parameters' 'Type' 'NTP' 'String')) }
    }
    $list
}

function Get-ScheduledTask2([string]$Path) {
    # Task paths are English in all languages. $null where this Windows does not have it.
    $service = New-Object -ComObject Schedule.Service
    $service.Connect() | Out-Null
    $cut = $Path.LastIndexOf('\')
    try { $service.GetFolder($Path.Substring(0, $cut)).GetTask($Path.Substring($cut + 1)) }
    catch { if ('0x80070002', '0x80070003' -notcontains (Get-ErrorDetails $_).hresult) { throw } }
}

function Get-SettingValue($Setting) {
    # 'absent': there is nothing to set on this Windows.
    switch ($Setting.kind) {
        'task' { $task = Get-ScheduledTask2 $Setting.path; if ($null -eq $task) { return 'absent' }; return [bool]$task.Enabled }
        'service' { if (-not (Test-Path -LiteralPath $Setting.path)) { return 'absent' } }
        'power' { return Get-RegistryValue "$Schemes\$(Get-RegistryValue $Schemes 'ActivePowerScheme')\$($Setting.path)" $Setting.name }
        'boot' { $bytes = @(Get-RegistryValue "HKLM:\BCD00000000\Objects\$(Get-RegistryValue $BootManager 'Element')\Elements\$($Setting.path)" 'Element'); if ($null -eq $bytes[0]) { return $null }; return [int]$bytes[0] }
    }
    Get-RegistryValue $Setting.path $Setting.name
}

function Test-Wanted($Setting, $Value) {
    if ($Value -is [string] -and $Value -eq 'absent') { return $true }
    foreach ($wanted in $Setting.wanted) { if ($null -eq $wanted) { if ($null -eq $Value) { return $true } } elseif ($null -ne $Value -and [string]$Value -eq [string]$wanted) { return $true } }
    $false
}
